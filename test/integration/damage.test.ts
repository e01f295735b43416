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
/** A byte in the middle, and digits, after which JSON is JSON still: the last one, and one of a digest. */
const damages: readonly Damage[] = [
  ['a byte', bytes => flipAt(bytes, bytes.length >> 1)],
  ['a digit', bytes => flipAt(bytes, bytes.toString('latin1').search(/\d(?=\D*$)/))],
  ['a letter at the beginning', bytes => flipAt(bytes, bytes.indexOf('student'))],
  ['a digest', bytes => flipAt(bytes, bytes.toString('latin1').search(/(?<="weightsDigest": ?")/))],
];

/** Damage a file where it lies: hard links see it too. False where it has no such place. */
function damage(file: string, [, change]: Damage): boolean {
  const bytes = readFileSync(file);
  if (!change(bytes)) return false;
  writeFileSync(file, bytes, { flag: 'r+' });
  return true;
}

/** What is wrong with an outcome; null for what is allowed. */
async function verdictOf(
  output: string,
  name: string,
  expected: Record<string, string>,
  work: () => Promise<unknown>,
): Promise<string | null> {
  const error = await work()
    .then(async () => readResults(output))
    .then(
      () => null,
      (thrown: Error) => thrown,
    );
  if (error !== null)
    return error.message.includes(basename(name)) ? null : `does not name it: ${error.stack}`;
  const content = contentOf(output);
  const names = new Set([...Object.keys(content), ...Object.keys(expected)]);
  const other = [...names].filter(file => content[file] !== expected[file]);
  return other.length === 0 ? null : `other bytes: ${other.join(', ')}`;
}

type Attempt = {
  /** What each attempt begins with, and the folder in it whose files are damaged. */
  readonly place: string;
  readonly within: string;
  readonly expected: Record<string, string>;
  readonly settings: Settings;
  readonly output: string;
  readonly resume: boolean;
};

/** By file and damage, what was wrong; `tried`: how many there were. */
async function wrongAfterDamage({ place, within, expected, resume, ...run }: Attempt) {
  const wrong: Record<string, string> = {};
  let tried = 0;
  for (const name of filesOf(join(place, within)))
    for (const kind of damages) {
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
    const expected = contentOf((await recordRun(folder, settings)).output);
    const stopped = await interruptedRun(folder, settings, { verb: 'optimStep', count: 25 });
    const place = join(stopped.output, '..');
    const run = { place, within: 'out', expected, settings, output: 'out', resume: true };
    const { wrong, tried } = await wrongAfterDamage(run);
    expect(wrong).toEqual({});
    expect(tried).toBeGreaterThan(60);
  }, 120_000);

  it('of the store, before a run with another α', async () => {
    const place = mkdtempSync(join(folder, 'first-'));
    await recordRun(folder, { ...settings, output_dir: join(place, 'out') }, { home: join(place, 'home') });
    const other: Settings = { ...settings, tms: { ...(settings.tms as Settings), alpha: 0.5 } };
    const expected = contentOf((await recordRun(folder, other)).output);
    const run = { place, within: 'home', expected, settings: other, output: 'second', resume: false };
    const { wrong, tried } = await wrongAfterDamage(run);
    expect(wrong).toEqual({});
    expect(tried).toBeGreaterThan(30);
  }, 120_000);
});
