/**
 * A flipped bit in any file of an interrupted run, or of the store: what follows is as without it, or an error names the file. The toy
 * makes that cheap enough for every file, one at a time.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readResults } from '../../src/report/results.ts';
import { interruptedRun, recordRun, type Settings, workFolder, writeRows } from '../support/recorded-run.ts';
import { examples, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const path = writeRows(folder, 'kept.jsonl', examples.slice(0, 3));
const sets = [{ name: 'say', path, columns: { answer: 'completion' }, max_new_tokens: 5 }];
const settings = smallRun(folder, {
  retention: { sets },
  pld: { size: 3 },
  kl: { size: 2 },
  save_steps: 2,
  eval_points: 4, // at other steps than checkpoints
  controls: { base_samples: true },
});

/** Files that say when, where and how often. */
const varying = /^(run\.json|plan\.json|(timing|ledger)\.jsonl|config\..*|environment\.json)$/;
const filesOf = (output: string): string[] =>
  readdirSync(output, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(output.length + 1))
    .sort();
const contentOf = (output: string): Record<string, string> =>
  Object.fromEntries(
    filesOf(output)
      .filter(name => !varying.test(name))
      .map(name => [name, readFileSync(join(output, name), 'latin1')]),
  );

/** The same files with the same hard links. */
function copyOf(place: string): string {
  const copy = mkdtempSync(join(folder, 'copy-'));
  execFileSync('cp', ['-a', `${place}/.`, copy]);
  return copy;
}

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
function damagesOf(names: readonly string[]): (readonly [name: string, damage: Damage])[] {
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
const isTime = (name: string) => /^(timing\.jsonl|throughput\.json)$/.test(name);

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

type Expected = { readonly content: Record<string, string>; readonly facts: string };
const expectedOf = async (settings: Settings): Promise<Expected> => {
  const { output } = await recordRun(folder, settings);
  return { content: contentOf(output), facts: await factsOf(output) };
};

type Attempt = {
  /** What each attempt begins with, and the folder in it whose files are damaged. */
  readonly place: string;
  readonly within: string;
  readonly expected: Expected;
  readonly settings: Settings;
  readonly output: string;
  readonly resume: boolean;
};

/** By file and damage, what was wrong; `tried`: how many there were. */
async function wrongAfterDamage({ place, within, expected, resume, ...run }: Attempt) {
  const wrong: Record<string, string> = {};
  let tried = 0;
  for (const [name, kind] of damagesOf(filesOf(join(place, within)))) {
    const copy = copyOf(place);
    if (!damage(join(copy, within, name), kind)) continue;
    tried++;
    const output = join(copy, run.output);
    const again = () =>
      recordRun(folder, { ...run.settings, output_dir: output }, { home: join(copy, 'home'), resume });
    const verdict = await verdictOf(output, name, expected, again);
    if (verdict !== null) wrong[`${kind[0]} of ${name}`] = verdict;
  }
  return { wrong, tried };
}

describe('damage in one file', () => {
  it('of a run that was interrupted within its last training', async () => {
    const expected = await expectedOf(settings);
    const stopped = await interruptedRun(folder, settings, { verb: 'optimStep', count: 25 });
    const place = join(stopped.output, '..');
    const run = { place, within: 'out', expected, settings, output: 'out', resume: true };
    const { wrong, tried } = await wrongAfterDamage(run);
    expect(wrong).toEqual({});
    expect(tried).toBeGreaterThan(50);
  }, 120_000);

  it('of the store, before a run with another α', async () => {
    const place = mkdtempSync(join(folder, 'first-'));
    await recordRun(folder, { ...settings, output_dir: join(place, 'out') }, { home: join(place, 'home') });
    const other: Settings = { ...settings, tms: { ...(settings.tms as Settings), alpha: 0.5 } };
    const expected = await expectedOf(other);
    const run = { place, within: 'home', expected, settings: other, output: 'second', resume: false };
    const { wrong, tried } = await wrongAfterDamage(run);
    expect(wrong).toEqual({});
    expect(tried).toBeGreaterThan(20);
  }, 120_000);
});
