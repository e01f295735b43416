/** Random numbers that belong to an example: functions of (seed, stream, id, two counters), whatever was drawn before. */
import { fnv1a, philox } from './random.ts';

/** The first 64 bits of an id as two unsigned words. */
export type IdWords = readonly [high: number, low: number];

/** Four numbers, uniform over the integers in [0, 2^32). */
export type FourNumbers = readonly [number, number, number, number];

/** The numbers of a stream under a seed: other id or counters, other independent numbers. */
export function keyedNumbers(
  seed: number,
  stream: string,
): (id: IdWords, first: number, second: number) => FourNumbers {
  const key = [seed, fnv1a(stream)] as const;
  return ([high, low], first, second) => philox([first, second, high, low], key);
}
