/** Countdown problems, drawn so that each can be solved, and no two of them are the same. Pure. */
import { below, pick, type Random, randomAt } from '../data/random.ts';
import { answeredTasks } from './answered.ts';

/** A row of a data file: what is asked and a solution, to learn from, and what the scorer needs. */
export type CountdownRow = {
  readonly prompt: string;
  readonly completion: string;
  readonly nums: readonly number[];
  readonly target: number;
};

/** How hard problems are: how many numbers, each of them below `below`. */
export type CountdownLimits = { readonly counts: readonly number[]; readonly below: number };

/** As the data set of the task: three or four numbers below 100. */
export const usualLimits: CountdownLimits = { counts: [3, 4], below: 100 };

const targets = { least: 10, most: 999 };

/** Draws in a row that bring nothing new, after which nothing new is looked for. */
const mostRepeats = 20_000;

/** The first `count` problems of a seed; the same whatever else is drawn. Throws `RangeError` where there are not as many different ones. */
export function countdownRows(count: number, seed: number, limits = usualLimits): CountdownRow[] {
  const rows = new Map<string, CountdownRow>();
  for (let index = 0, found = 0; rows.size < count; index++) {
    if (index - found > mostRepeats)
      throw new RangeError(
        `${count} problems are more than there are different ones: ${rows.size} were found`,
      );
    const row = drawRow(randomAt(seed, 'countdown', index), limits);
    if (row === null) continue;
    const key = `${[...row.nums].sort((a, b) => a - b).join(' ')} ${row.target}`;
    if (rows.has(key)) continue;
    rows.set(key, row);
    found = index;
  }
  return [...rows.values()];
}

type Term = { readonly value: number; readonly text: string };

/** Null where the numbers drawn lead to no target within the limits. */
function drawRow(random: Random, limits: CountdownLimits): CountdownRow | null {
  const nums = Array.from({ length: pick(random, limits.counts) }, () => 1 + below(random, limits.below - 1));
  let terms: Term[] = nums.map(value => ({ value, text: String(value) }));
  while (terms.length > 1) {
    const one = takeFrom(random, terms);
    const other = takeFrom(random, one.rest);
    terms = [...other.rest, combined(random, one.term, other.term)];
  }
  const [solution] = terms as [Term];
  if (solution.value < targets.least || solution.value > targets.most) return null;
  const [asked] = answeredTasks.countdown.rows({ nums, target: solution.value });
  const text = solution.text.replace(/^\((.*)\)$/, '$1');
  return {
    prompt: asked?.prompt ?? '',
    completion: `<answer>${text}</answer>`,
    nums,
    target: solution.value,
  };
}

function takeFrom(random: Random, terms: readonly Term[]): { term: Term; rest: Term[] } {
  const place = below(random, terms.length);
  return { term: terms[place] as Term, rest: terms.filter((_, i) => i !== place) };
}

/** Of whatever operations give a positive whole number. */
function combined(random: Random, a: Term, b: Term): Term {
  const [large, less] = a.value >= b.value ? [a, b] : [b, a];
  const options: Term[] = [
    { value: a.value + b.value, text: `(${a.text} + ${b.text})` },
    { value: a.value * b.value, text: `(${a.text} * ${b.text})` },
  ];
  if (large.value > less.value)
    options.push({ value: large.value - less.value, text: `(${large.text} - ${less.text})` });
  if (large.value % less.value === 0)
    options.push({ value: large.value / less.value, text: `(${large.text} / ${less.text})` });
  return pick(random, options);
}
