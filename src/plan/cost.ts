/** What a plan will take: tokens, disk and time, as bounds that are known before anything runs. */

/** Facts about the model on disk. */
export type ModelSize = {
  readonly trainableParameters: number;
  readonly bytesPerWeight: number;
};

/** Measured on this machine with this model, in tokens per second. */
export type Throughput = { readonly train: number; readonly generate: number };

export type TokenCost = {
  readonly sftTokens: number;
  /** At most: every answer as long as allowed. */
  readonly generatedTokensAtMost: number;
  /** If answers are as long as references. */
  readonly generatedTokensExpected: number;
  readonly studentTokensExpected: number;
  readonly controlTokensExpected: number;
};

export type DiskCost = {
  /** Weights of the kept checkpoints and of the final models. */
  readonly weightBytes: number;
  /** Weights and two float32 moments, for each training state kept. */
  readonly stateBytes: number;
  /** Ids and log-probabilities, 8 bytes a token. */
  readonly answerBytesAtMost: number;
  readonly bytesAtMost: number;
};

const bytesPerMoment = 4;
const momentsPerWeight = 2;
const bytesPerAnswerToken = 8;

/** Disk that a run takes at most. `models`: weight directories that stay; `states`: training states that stay at one time. */
export function diskCost(size: ModelSize, models: number, states: number, answerTokens: number): DiskCost {
  const modelBytes = size.trainableParameters * size.bytesPerWeight;
  const weightBytes = models * modelBytes;
  const stateBytes = states * (modelBytes + size.trainableParameters * momentsPerWeight * bytesPerMoment);
  const answerBytesAtMost = answerTokens * bytesPerAnswerToken;
  return {
    weightBytes,
    stateBytes,
    answerBytesAtMost,
    bytesAtMost: weightBytes + stateBytes + answerBytesAtMost,
  };
}

/** Seconds that training and generating are expected to take, evaluation not counted. */
export function secondsExpected(tokens: TokenCost, throughput: Throughput): number {
  const trained = tokens.sftTokens + tokens.studentTokensExpected + tokens.controlTokensExpected;
  return trained / throughput.train + tokens.generatedTokensExpected / throughput.generate;
}
