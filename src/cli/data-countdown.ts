import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.ts';
import { type CountdownLimits, type CountdownRow, countdownRows, usualLimits } from '../tasks/countdown.ts';
import { integerFrom } from './arguments.ts';
import type { CliContext } from './terminal.ts';

interface CountdownFlags {
  train: number;
  test: number;
  seed: number;
  numbers: number[];
  below: number;
}

/** `tms data countdown`: problems of Countdown to train and to measure on. */
export function addCountdownCommand(group: Command, context: CliContext): void {
  group
    .command('countdown')
    .summary('make problems of Countdown, with solutions')
    .description(
      'Write countdown/train.jsonl and countdown/test.jsonl into a folder of data sets: problems that can be solved, all of them ' +
        'different, with a solution to learn from (columns prompt and completion) and what the task countdown needs. The same ' +
        'numbers and seed give the same files.',
    )
    .argument('<folder>', 'folder of data sets')
    .option('--train <count>', 'problems to train on', integerFrom(0, 900_000), 2000)
    .option(
      '--test <count>',
      'problems to measure on, none of them among the others',
      integerFrom(1, 100_000),
      500,
    )
    .option('--seed <number>', 'other problems', integerFrom(0, 2 ** 32 - 1), 0)
    .option('--numbers <counts>', 'how many numbers a problem has: 2,3', countList, [...usualLimits.counts])
    .option('--below <number>', 'each number is below it', integerFrom(3, 1000), usualLimits.below)
    .addHelpText('after', '\nExample:\n  $ npx tms data countdown data --train 5000')
    .action((folder: string, flags: CountdownFlags) => writeProblems(folder, flags, context));
}

function writeProblems(
  folder: string,
  { train, test, seed, numbers, below }: CountdownFlags,
  { terminal }: CliContext,
): void {
  if (/\.\w+$/.test(folder))
    throw new UsageError(`${folder} looks like a file`, { fix: 'name a folder of data sets' });
  const rows = problems(train + test, seed, { counts: numbers, below });
  const place = join(folder, 'countdown');
  mkdirSync(place, { recursive: true });
  for (const [name, part] of [
    ['test.jsonl', rows.slice(0, test)],
    ['train.jsonl', rows.slice(test)],
  ] as const) {
    const file = join(place, name);
    writeFileAtomic(file, part.map(row => `${JSON.stringify(row)}\n`).join(''));
    terminal.print(`wrote ${part.length} problems: ${file}`);
  }
}

function problems(count: number, seed: number, limits: CountdownLimits): CountdownRow[] {
  try {
    return countdownRows(count, seed, limits);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(error.message, {
      fix: 'ask for fewer, or raise --below or --numbers',
      cause: error,
    });
  }
}

function countList(text: string): number[] {
  return text.split(',').map(integerFrom(2, 6));
}
