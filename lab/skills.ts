/** The eight retention skills: questions with one right answer each, so exact match decides. All prompts of a skill have one length. */
import { below, pick, type Random } from '../src/data/random.ts';
import { letters } from './vocabulary.ts';

export type Skill = {
  readonly name: string;
  prompt(random: Random): string;
  /** The right completion of a prompt of this skill. */
  answer(prompt: string): string;
};

export const skills: readonly Skill[] = [
  { name: 'copy', prompt: random => `C${word(random, letters, 5)}=`, answer: prompt => body(prompt) },
  {
    name: 'reverse',
    prompt: random => `R${word(random, letters, 5)}=`,
    answer: prompt => [...body(prompt)].reverse().join(''),
  },
  {
    name: 'sort',
    prompt: random => `S${word(random, '0123456789', 5)}=`,
    answer: prompt => [...body(prompt)].sort().join(''),
  },
  {
    name: 'count',
    prompt: random => `N${word(random, 'abc', 6)}?${word(random, 'abc', 1)}=`,
    answer: prompt => {
      const [text = '', letter] = body(prompt).split('?');
      return String([...text].filter(other => other === letter).length);
    },
  },
  {
    name: 'sum-modulo-ten',
    prompt: random => `M${below(random, 10)}+${below(random, 10)}=`,
    answer: prompt => {
      const [first, second] = numbers(prompt);
      return String((first + second) % 10);
    },
  },
  {
    name: 'maximum',
    prompt: random => `X${word(random, '0123456789', 4)}=`,
    answer: prompt => [...body(prompt)].reduce((greatest, digit) => (digit > greatest ? digit : greatest)),
  },
  {
    name: 'next-letters',
    prompt: random => `H${word(random, letters, 4)}=`,
    answer: prompt => [...body(prompt)].map(letter => letters[(letters.indexOf(letter) + 1) % 26]).join(''),
  },
  {
    name: 'subtract-digit',
    prompt: random => `B${10 + below(random, 90)}-${below(random, 10)}=`,
    answer: prompt => {
      const [first, second] = numbers(prompt);
      return String(first - second).padStart(2, '0');
    },
  },
];

/** What stands between the capital and the equals sign. */
function body(prompt: string): string {
  return prompt.slice(1, -1);
}

function numbers(prompt: string): [number, number] {
  const [first, second] = body(prompt).split(/[+-]/);
  return [Number(first), Number(second)];
}

function word(random: Random, alphabet: string, length: number): string {
  return Array.from({ length }, () => pick(random, [...alphabet])).join('');
}
