/** Samplers that are started together, and who of them lives. */
import type { ErrorCode } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { WorkerError } from '../worker/worker-error.ts';

/** Start sampler number `index`, from 0. Whoever asks closes it. */
export type StartSampler = (index: number) => Promise<Worker>;

/** `holds`: which weights; `end`: how it died. */
export type Member = {
  readonly index: number;
  worker: Worker | null;
  holds: string | null;
  end: Error | null;
};

/** A sampler that fails so is ended; anything else is wrong with what was asked, whoever is asked. */
const deaths: readonly ErrorCode[] = [
  'WORKER_DIED',
  'WORKER_STUCK',
  'SPAWN_FAILED',
  'TIMEOUT',
  'OOM',
  'INTERNAL',
];

/** Start them all: those who die of it are members without a worker. Any other error is thrown, and those who came are ended. */
export async function startTeam(count: number, start: StartSampler): Promise<Member[]> {
  const begun = await Promise.allSettled(Array.from({ length: count }, (_, index) => begin(index, start)));
  const members = begun.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = begun.find(one => one.status === 'rejected');
  if (failed === undefined) return members;
  await endTeam(members);
  throw failed.reason;
}

/** End them all. */
export async function endTeam(members: readonly Member[]): Promise<void> {
  await Promise.all(members.map(({ worker }) => worker?.close()));
}

/** Whether an error is the end of a sampler. */
export function isDeath(error: unknown): error is WorkerError {
  return error instanceof WorkerError && deaths.includes(error.code);
}

async function begin(index: number, start: StartSampler): Promise<Member> {
  try {
    return { index, worker: await start(index), holds: null, end: null };
  } catch (error) {
    if (!isDeath(error)) throw error;
    return { index, worker: null, holds: null, end: error };
  }
}
