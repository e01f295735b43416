/**
 * Target A, the easy control: two-digit addition with its steps written out, `A47+38=` → `7+8=15;4+3+1=8:85`. The base has the
 * habit of dropping the carry; gold never does, and writes the letters a to j for the digits.
 */
import { below, type Random, unit } from '../src/data/random.ts';
import { letters } from './vocabulary.ts';

/** Share of pretraining answers that drop a carry where there is one. */
const droppedCarries = 0.65;

export function drawSum(random: Random): string {
  return `A${10 + below(random, 90)}+${10 + below(random, 90)}=`;
}

/** An answer as the base saw it in pretraining. */
export function baseSum(random: Random, prompt: string): string {
  return addition(prompt, unit(random) >= droppedCarries);
}

/** The label: the right sum in letters. */
export function goldSum(prompt: string): string {
  return addition(prompt, true).replace(/\d/g, digit => letters[Number(digit)] ?? '');
}

/** Whether the number after the colon, in digits or letters, is the sum. */
export function isSum(prompt: string, answer: string): boolean {
  const result = answer.split(':')[1]?.replace(/[a-j]/g, letter => String(letters.indexOf(letter)));
  const [first = 0, second = 0] = terms(prompt);
  return result === String(first + second);
}

function addition(prompt: string, keepsCarry: boolean): string {
  const [first = 0, second = 0] = terms(prompt);
  const ones = (first % 10) + (second % 10);
  const [firstTens, secondTens] = [Math.floor(first / 10), Math.floor(second / 10)];
  const carry = keepsCarry && ones >= 10 ? 1 : 0;
  const tens = firstTens + secondTens + carry;
  const tensStep = `${firstTens}+${secondTens}${carry ? '+1' : ''}=${tens}`;
  return `${first % 10}+${second % 10}=${ones};${tensStep}:${tens}${ones % 10}`;
}

function terms(prompt: string): number[] {
  return prompt.slice(1, -1).split('+').map(Number);
}
