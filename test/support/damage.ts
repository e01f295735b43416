/**
 * One flipped bit at a time in the files that a run left, and what is wrong with what follows: nothing where that is as without it, or
 * where an error names the file.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readResults } from '../../src/report/results.ts';
import type { Channel } from '../../src/worker/channel.ts';
import { filesIn, pick, recordRun, type Settings } from './recorded-run.ts';

type Attempt = {
  /** What each attempt begins with; its copies lie beside it. */
  readonly place: string;
  /** Files whose path in it does not fit are left as they are. */
  readonly within: RegExp;
  /** How it ends on files that are whole. */
  readonly expected: Expected;
  readonly settings: Settings;
  /** Where it writes, in the copy; `home` in the copy is its TMS_HOME. */
  readonly output: string;
  readonly resume: boolean;
  /** What takes the place of a toy. It is asked for less: a byte in each file, nothing that only our own files hold. */
  readonly channel?: Channel;
};

/** By file and damage, what was wrong; `tried`: how many there were. */
export async function wrongAfterDamage({ place, within, expected, settings, output: name, ...how }: Attempt) {
  const wrong: Record<string, string> = {};
  let tried = 0;
  const files = Object.keys(filesIn(place)).filter(path => within.test(path));
  for (const [file, kind] of damagesOf(files, how.channel === undefined ? inText : [])) {
    const copy = mkdtempSync(`${place}-`);
    execFileSync('cp', ['-a', `${place}/.`, copy]); // with the same hard links
    if (damage(join(copy, file), kind)) {
      tried++;
      const output = join(copy, name);
      const run = { ...settings, output_dir: output };
      const again = () => recordRun(copy, run, { home: join(copy, 'home'), ...how });
      const verdict = await verdictOf(output, file, expected, again);
      if (verdict !== null) wrong[`${kind[0]} of ${file}`] = verdict;
    }
    rmSync(copy, { recursive: true });
  }
  return { wrong, tried };
}

/** How a run ended that nothing disturbed. */
export type Expected = { readonly content: Record<string, string>; readonly facts: string };
export async function expectedIn(output: string): Promise<Expected> {
  return { content: contentOf(output), facts: await factsOf(output) };
}

/** Files that say when, where and how often. */
const varying = /^(run\.json|plan\.json|(timing|ledger)\.jsonl|config\..*|environment\.json)$/;
const contentOf = (output: string) => pick(filesIn(output), name => !varying.test(name));

type Damage = readonly [what: string, change: (bytes: Buffer) => boolean];
const flipAt = (bytes: Buffer, at: number): boolean => {
  if (at < 0 || at >= bytes.length) return false;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return true;
};
const flipFirst = (bytes: Buffer, pattern: RegExp) => flipAt(bytes, bytes.toString('latin1').search(pattern));
const anyByte: Damage = ['a byte', bytes => flipAt(bytes, bytes.length >> 1)];
/** After these JSON is JSON still. */
const inText: readonly Damage[] = [
  ['the last digit', bytes => flipFirst(bytes, /\d(?=\D*$)/)],
  ['the first digit', bytes => flipFirst(bytes, /\d/)],
  ['the name of a training', bytes => flipFirst(bytes, /student/)],
  ['a digest', bytes => flipFirst(bytes, /(?<="weightsDigest": ?")/)],
];

/** A byte of every file, where of those that differ in their step one is enough; the rest in one file of each kind, if it is text. */
function damagesOf(
  names: readonly string[],
  inText: readonly Damage[],
): (readonly [name: string, damage: Damage])[] {
  const oneOf = (kind: (name: string) => string) => [
    ...new Map(names.map(name => [kind(name), name])).values(),
  ];
  const texts = oneOf(name => name.replace(/[0-9a-f]{64}|\d+|(base-answers|base|sft|student)(?=[-/])/g, '#'));
  return [
    ...oneOf(name => name.replace(/(?<=step-)\d+/, '#')).map(name => [name, anyByte] as const),
    ...texts
      .filter(name => /\.(jsonl?|yaml)$/.test(name) && !isTime(name))
      .flatMap(name => inText.map(damage => [name, damage] as const)),
  ];
}

/** How long things took is no result, and nothing tells one time from another. */
const isTime = (name: string) => /(timing\.jsonl|throughput\.json)$/.test(name);

/** Damage a file where it lies: hard links see it too. False where it has no such place. */
function damage(file: string, [, change]: Damage): boolean {
  const bytes = readFileSync(file);
  if (!change(bytes)) return false;
  writeFileSync(file, bytes, { flag: 'r+' });
  return true;
}

/** What the run says of itself, wherever it lies. */
async function factsOf(output: string): Promise<string> {
  const { config, environment, guessed, trainings } = await readResults(output);
  const { output_dir, ...rest } = { ...config };
  return JSON.stringify({ rest, environment, guessed, trainings });
}

/** What is wrong with an outcome; null for what is allowed. */
async function verdictOf(
  output: string,
  name: string,
  expected: Expected,
  work: () => Promise<unknown>,
): Promise<string | null> {
  const [error, facts] = await work()
    .then(() => factsOf(output))
    .then(
      found => [null, found] as const,
      (thrown: Error) => [thrown, ''] as const,
    );
  if (error !== null)
    return error.message.includes(basename(name)) ? null : `does not name it: ${error.stack}`;
  if (facts !== expected.facts) return `other facts: ${facts}`;
  const content = contentOf(output);
  const names = new Set([...Object.keys(content), ...Object.keys(expected.content)]);
  const other = [...names].filter(file => content[file] !== expected.content[file]);
  return other.length === 0 ? null : `other bytes: ${other.join(', ')}`;
}
