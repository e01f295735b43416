/** How far an evaluation is, and how the worker's calls are made so that it can be watched and stopped. */
import type { CallOptions } from '../worker/channel.ts';

/** `done` of `total` answers and scored sequences, with the tokens sampled and scored so far. */
export type EvaluationProgress = { readonly done: number; readonly total: number; readonly tokens: number };

export type EvaluationCall = {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: EvaluationProgress) => void) | undefined;
};

export type TokenCounts = { readonly generated: number; readonly scored: number };

/** Counts what was done; one for a whole evaluation. */
export type Tally = {
  readonly signal: AbortSignal | undefined;
  /** Options of the worker's next call. Throws where the signal is aborted. */
  readonly next: () => CallOptions;
  /** `count` answers or sequences are done. */
  readonly add: (count: number, tokens: Partial<TokenCounts>) => void;
  readonly tokens: () => TokenCounts;
};

export function newTally(total: number, { signal, onProgress }: EvaluationCall = {}): Tally {
  let done = 0;
  let tokens: TokenCounts = { generated: 0, scored: 0 };
  const report = (ahead: { done: number; tokens: number }) =>
    onProgress?.({ done: done + ahead.done, total, tokens: tokens.generated + tokens.scored + ahead.tokens });
  return {
    signal,
    next: () => {
      signal?.throwIfAborted();
      return { ...(signal && { signal }), onProgress: report };
    },
    add: (count, { generated = 0, scored = 0 }) => {
      done += count;
      tokens = { generated: tokens.generated + generated, scored: tokens.scored + scored };
      report({ done: 0, tokens: 0 });
    },
    tokens: () => tokens,
  };
}
