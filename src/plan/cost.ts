/** What a plan will take in tokens and time. Of disk: disk.ts. */

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

/** Seconds that training and generating are expected to take, evaluation not counted. */
export function secondsExpected(tokens: TokenCost, throughput: Throughput): number {
  const trained = tokens.sftTokens + tokens.studentTokensExpected + tokens.controlTokensExpected;
  return trained / throughput.train + tokens.generatedTokensExpected / throughput.generate;
}
