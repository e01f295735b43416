/** Fixed sequences by which a sampler shows that it holds the weights that it was given: stale ones answer as fluently. */
import type { Worker } from '../worker/worker.ts';
import { type Parity, parityOf } from './parity.ts';
import type { Run } from './run.ts';

/** `logprobs` are the trainer's. `tolerance`: of the mean absolute difference a token, in nats. */
export type Canary = {
  readonly sequences: readonly Int32Array[];
  readonly logprobs: readonly Float32Array[];
  readonly tolerance: number;
};

/** Engines differ by rounding: a thousand times less than this in float32, a tenth of it in bfloat16. */
const tolerances = { float32: 1e-3, bfloat16: 0.05 };
const tokens = { least: 64, most: 300 };
/** Examples among which it is chosen. */
const candidates = 1000;

/** The largest healthy mean difference, in nats a token. */
export function toleranceOf(computeDtype: string): number {
  return tolerances[computeDtype === 'float32' ? 'float32' : 'bfloat16'];
}

/** Of the weights that stand in the trainer's worker. */
export async function canaryOf(run: Run): Promise<Canary> {
  const sequences = await canarySequences(run);
  const { logprobs } = await run.worker.forward(sequences);
  return { sequences, logprobs, tolerance: toleranceOf(run.model.computeDtype) };
}

/** How far what a sampler holds is from the weights of the canary. */
export async function compareWith(
  { sequences, logprobs }: Canary,
  worker: Pick<Worker, 'forward'>,
  signal?: AbortSignal,
): Promise<Parity> {
  return parityOf(logprobs, (await worker.forward(sequences, { signal })).logprobs);
}

/** Training examples by their content hash, until there are enough tokens. */
async function canarySequences({ data }: Run): Promise<Int32Array[]> {
  const chosen = Array.from(data.rows.subarray(0, candidates), (_, example) => example).toSorted((a, b) =>
    data.idTextOf(a) < data.idTextOf(b) ? -1 : 1,
  );
  const sequences: Int32Array[] = [];
  let left = tokens.most;
  for (const example of chosen) {
    if (tokens.most - left >= tokens.least) break;
    const { ids } = await data.tokens.read(data.rows[example] as number);
    sequences.push(ids.slice(0, left));
    left -= sequences.at(-1)?.length ?? 0;
  }
  return sequences;
}
