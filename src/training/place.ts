/** Weights where samplers find them, and their loading: a sampler answers only once it has shown that it holds them. */
import { TmsError } from '../errors.ts';
import type { LoadOptions, Worker } from '../worker/worker.ts';
import { type Canary, compareWith } from './canary.ts';
import { describeParity, type Parity } from './parity.ts';

/** `name` is for people, `digest` of the tensors. */
export type Place = {
  readonly name: string;
  readonly load: LoadOptions;
  readonly digest: string | null;
  readonly canary: Canary;
};

export type LoadingOptions = {
  /** End the worker, and start another in its place. */
  readonly restart: () => Promise<Worker>;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal | undefined;
};

/** Load weights into a sampler and look whether they are there; where they are not it is started anew, once. */
export async function loadPlace(
  first: Worker,
  place: Place,
  { restart, say, signal }: LoadingOptions,
): Promise<{ worker: Worker; parity: Parity }> {
  const { load, name, canary } = place;
  let worker = first;
  for (let attempt = 1; ; attempt++) {
    const { weightsDigest } = await worker.load(load, { signal });
    requireDigest(place, weightsDigest);
    const parity = await compareWith(canary, worker, signal);
    if (parity.meanDifference <= canary.tolerance) return { worker, parity };
    const found = `the weights in the sampler are not ${name}: ${describeParity(parity)} (allowed on average: ${canary.tolerance})`;
    if (attempt === 2)
      throw new TmsError(found, {
        fix: 'the sampler computes this model otherwise than the trainer: sample with the trainer (sampler.workers: null), or look at tms doctor --parity',
      });
    say(`note: ${found}; it is started anew`);
    worker = await restart();
  }
}

/** Weights are others than those that were asked for: no answer of theirs counts. */
export class OtherWeightsError extends TmsError {}

/** Null is not known. Throws `OtherWeightsError`. */
export function requireDigest({ name, digest, load }: Place, found: string | null): void {
  if (digest === null || found === null || found === digest) return;
  throw new OtherWeightsError(
    `the weights in ${load.model} are not those of ${name}: their digest is ${found}, not ${digest}`,
    { fix: 'put back those that the run began with, then go on with tms resume; or start a new run' },
  );
}
