/** Which examples each step trains on: a function of (seed, epoch, step), so a resume needs nothing but the step. */
import { below, randomAt } from '../data/random.ts';
import { stepsPerEpoch } from './schedule.ts';

/** The examples 0 … count − 1 in the order of an epoch (Fisher–Yates); 4 bytes an example. */
export function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const random = randomAt(seed, 'data order', epoch);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let last = count - 1; last > 0; last--) {
    const other = below(random, last + 1);
    const kept = order[last] as number;
    order[last] = order[other] as number;
    order[other] = kept;
  }
  return order;
}

/** One example in a step. `visit` numbers all of a training from 0: it is where in the run this one stands. */
export type Visit = { readonly example: number; readonly epoch: number; readonly visit: number };

export type DataOrder = { readonly seed: number; readonly examples: number; readonly batchSize: number };

/** The visits of any step, from 0. The function keeps the order of one epoch, since making it takes time. */
export function batches({ seed, examples, batchSize }: DataOrder): (step: number) => Visit[] {
  const perEpoch = stepsPerEpoch({ examples, batchSize });
  let kept: { epoch: number; order: Uint32Array } = { epoch: -1, order: new Uint32Array(0) };
  return step => {
    const epoch = Math.floor(step / perEpoch);
    if (kept.epoch !== epoch) kept = { epoch, order: epochOrder(seed, epoch, examples) };
    const start = (step % perEpoch) * batchSize;
    const batch = kept.order.subarray(start, start + batchSize);
    return Array.from(batch, (example, i) => ({ example, epoch, visit: epoch * examples + start + i }));
  };
}

/** Visits of a training of so many steps. */
export function visitCount({ examples, batchSize }: Omit<DataOrder, 'seed'>, steps: number): number {
  const perEpoch = stepsPerEpoch({ examples, batchSize });
  return Math.floor(steps / perEpoch) * examples + (steps % perEpoch) * batchSize;
}

/** Every visit of a training, in order. */
export function* allVisits(order: DataOrder, steps: number): Generator<Visit> {
  const batchOf = batches(order);
  for (let step = 0; step < steps; step++) yield* batchOf(step);
}
