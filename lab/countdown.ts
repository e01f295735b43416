/**
 * Target D: reach a value with each of some digits once, in any order, each with a sign. `D6387>10=` is solved by `+8-7+6+3`,
 * among others. The base writes the digits in descending order most of the time; gold is always ascending: within the
 * base's reach, and improbable.
 */
import { below, pick, pickWeighted, type Random, unit } from '../src/data/random.ts';
import { letters } from './vocabulary.ts';

/** Digits 1 to 9 in the order of the prompt, and the value to reach, not negative. */
export type Problem = { readonly digits: readonly number[]; readonly value: number };
export type Order = 'descending' | 'prompt' | 'ascending';

/** How the base learned to answer: shares of the orders, and of answers with a comment. */
export const baseStyle = {
  orders: { descending: 0.8, prompt: 0.12, ascending: 0.08 },
  comments: 0.06,
} as const satisfies { orders: Record<Order, number>; comments: number };

const commentLetters = 4;

/** Digits with random signs, drawn again until their sum is not negative. */
export function drawProblem(random: Random, digitCount: number): Problem {
  for (;;) {
    const digits = Array.from({ length: digitCount }, () => 1 + below(random, 9));
    const value = digits.reduce((sum, digit) => sum + pick(random, [1, -1]) * digit, 0);
    if (value >= 0) return { digits, value };
  }
}

export function promptOf({ digits, value }: Problem): string {
  return `D${digits.join('')}>${String(value).padStart(2, '0')}=`;
}

/** The same for prompts that differ in nothing but the order of the digits. */
export function problemKey({ digits, value }: Problem): string {
  return `${[...digits].sort().join('')}>${value}`;
}

/** Every choice of a sign (1 or -1) for each digit that reaches the value. */
export function solutions({ digits, value }: Problem): number[][] {
  const choices = digits.reduce<number[][]>(
    partial =>
      partial.flatMap(signs => [
        [...signs, 1],
        [...signs, -1],
      ]),
    [[]],
  );
  return choices.filter(
    signs => digits.reduce((sum, digit, i) => sum + (signs[i] ?? 0) * digit, 0) === value,
  );
}

/** An answer as the base saw it in pretraining. */
export function baseAnswer(random: Random, problem: Problem): string {
  const orders = Object.keys(baseStyle.orders) as Order[];
  const order = orders[pickWeighted(random, Object.values(baseStyle.orders))] ?? 'descending';
  const expression = write(problem, pick(random, solutions(problem)), order);
  return unit(random) < baseStyle.comments ? expression + comment(random) : expression;
}

/** The label of `Da:0`, or with a comment that of `Da:4`: the same expression where `random` is the same. */
export function goldAnswer(random: Random, problem: Problem, hasComment: boolean): string {
  const expression = write(problem, pick(random, solutions(problem)), 'ascending');
  return hasComment ? expression + comment(random) : expression;
}

/** Whether an answer, up to its comment, uses exactly the digits of the prompt and reaches its value. */
export function isSolution(prompt: string, answer: string): boolean {
  const { digits, value } = readProblem(prompt);
  const [expression = ''] = answer.split('#');
  if (!/^([+-][1-9])+$/.test(expression)) return false;
  const terms = expression.match(/../g) ?? [];
  const used = terms.map(term => Math.abs(Number(term)));
  const sum = terms.reduce((total, term) => total + Number(term), 0);
  return sum === value && problemKey({ digits: used, value }) === problemKey({ digits, value });
}

function write({ digits }: Problem, signs: readonly number[], order: Order): string {
  const terms = digits.map((digit, i) => ({ digit, text: `${signs[i] === 1 ? '+' : '-'}${digit}` }));
  const direction = { descending: -1, prompt: 0, ascending: 1 }[order];
  return terms
    .sort((a, b) => direction * (a.digit - b.digit)) // stable: equal digits keep the order of the prompt
    .map(({ text }) => text)
    .join('');
}

function comment(random: Random): string {
  return `#${Array.from({ length: commentLetters }, () => pick(random, [...letters])).join('')}`;
}

function readProblem(prompt: string): Problem {
  const [, digits, value] = /^D([1-9]+)>(\d\d)=$/.exec(prompt) ?? [];
  if (!digits) throw new Error(`${prompt} is no prompt of target D, which look like D6387>10=`);
  return { digits: [...digits].map(Number), value: Number(value) };
}
