/** What a training learns from: token ids and weights for every visit of a prompt. */
import type { TokenRow } from '../data/token-file.ts';
import type { Visit } from '../plan/order.ts';
import { completionOnly, type TrainingSequence } from '../worker/worker.ts';
import type { Policy } from './policy.ts';
import type { Run } from './run.ts';

/** Sequences of one optimiser step. `metrics`: numbers for the step's line in metrics.jsonl. None: nothing is learned in it. */
export type StepTargets = {
  readonly sequences: readonly TrainingSequence[];
  readonly metrics?: Readonly<Record<string, number>>;
};

export type Targets = {
  /** A digest of all that decides what is learned. */
  readonly key: string;
  /** Asked while the weights before the step stand in the worker; else steps are sent ahead. */
  readonly isOnPolicy?: boolean;
  /** What the visits of optimiser step `step`, from 0, learn. `policy` may be asked where `isOnPolicy`. */
  readonly of: (visits: readonly Visit[], step: number, policy: Policy) => Promise<StepTargets>;
  readonly close?: () => Promise<void>;
};

/** The same sequence whenever a visit asks. */
export function fixedTargets(
  key: string,
  sequenceOf: (visit: Visit) => Promise<TrainingSequence>,
  close?: () => Promise<void>,
): Targets {
  const of: Targets['of'] = async visits => ({ sequences: await Promise.all(visits.map(sequenceOf)) });
  return { key, of, ...(close && { close }) };
}

/** Every visit learns the reference of its example, up to `max_length`: the token file of the data, as it is. */
export function goldTargets({ data, config }: Pick<Run, 'data' | 'config'>): Targets {
  return fixedTargets(data.digest, async ({ example }) =>
    completionOnly(await goldRow({ data, config }, example)),
  );
}

/** Prompt and reference of an example, as they are learned. */
export function goldRow({ data, config }: Pick<Run, 'data' | 'config'>, example: number): Promise<TokenRow> {
  return data.tokens.read(data.rows[example] as number, config.max_length);
}
