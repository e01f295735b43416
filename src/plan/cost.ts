/** What a plan will take in tokens and time. Of disk: disk.ts. */

/** Measured on this machine with this model, in tokens per second. */
export type Throughput = { readonly train: number; readonly generate: number };

export type TokenCost = {
  /** Of each training, by name: if what it learns is as long as references. */
  readonly trained: Readonly<Record<string, number>>;
  /** At most: every answer as long as allowed. */
  readonly generatedAtMost: number;
  /** If answers are as long as references. */
  readonly generatedExpected: number;
};

/** Tokens that all trainings read. */
export function trainedTokens({ trained }: TokenCost): number {
  return Object.values(trained).reduce((sum, tokens) => sum + tokens, 0);
}

/** Seconds that training and generating are expected to take, evaluation not counted. */
export function secondsExpected(tokens: TokenCost, throughput: Throughput): number {
  return trainedTokens(tokens) / throughput.train + tokens.generatedExpected / throughput.generate;
}
