/**
 * What a run leaves that is killed at any durable operation. The toy runs in this process, and the disk is copied before and after every
 * fsync and rename, and before every write: a copy is what a kill at that moment leaves. `kill-resume.test.ts` really kills.
 */
import { execFileSync } from 'node:child_process';
import fs, { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isTemporaryName } from '../../src/files/temporary-name.ts';
import { filesIn, pick, recordRun, workFolder } from '../support/recorded-run.ts';
import { type Done, doneIn } from '../support/reuse.ts';
import { saySet, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const settings = smallRun(folder, {
  eval: { sets: [saySet(folder, { count: 2 })] },
  max_steps: 4,
  save_steps: 2,
  kl: { size: 1 },
  tms: { num_checkpoints: 2, max_new_tokens: 5 },
});

type Files = Record<string, string>;
/** Where, when and how long, or how long it is to take: not what a run comes to. */
const isVarying = (name: string) =>
  /^(run\.json|timing\.jsonl|ledger\.jsonl|config\..*|plan\.json|throughput\.json)$/.test(name);
const contentOf = (place: string): Files => pick(filesIn(place), name => !isVarying(name));

/** A number that no process has: in the copies whoever wrote is dead. */
const nobody = 2 ** 30;
function bury(place: string): void {
  for (const entry of readdirSync(place, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.name === 'owner.json')
      writeFileSync(file, readFileSync(file, 'utf8').replace(`"pid":${process.pid}`, `"pid":${nobody}`));
  }
  for (const name of readdirSync(place, { recursive: true }) as string[])
    if (isTemporaryName(name) && existsSync(join(place, name)))
      renameSync(join(place, name), join(place, name.replace(`.tms-${process.pid}-`, `.tms-${nobody}-`)));
}

const originals = { fsyncSync: fs.fsyncSync, renameSync: fs.renameSync, writeSync: fs.writeSync };
let letBe = () => {};

function atEveryOperation(work: (isBegun: boolean) => void): void {
  for (const [name, original] of Object.entries(originals))
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        work(name === 'writeSync');
        const result = (original as (...args: unknown[]) => unknown)(...args);
        if (name !== 'writeSync') work(false);
        return result;
      },
    });
  const { rename } = fs.promises;
  fs.promises.rename = async (...args) => {
    work(false);
    await rename(...args);
    work(false);
  };
  letBe = () => {
    Object.assign(fs, originals);
    fs.promises.rename = rename;
    syncBuiltinESMExports();
  };
  syncBuiltinESMExports();
}

const copies: string[] = [];
/** TMS_HOME before each write. */
const begun: Files[] = [];
const place = mkdtempSync(join(folder, 'run-'));
let whole: { output: Files; home: Files };

beforeAll(async () => {
  const [output, home] = [join(place, 'out'), join(place, 'home')];
  let last = '';
  atEveryOperation(isBegun => {
    if (isBegun) return void begun.push(contentOf(home));
    const now = JSON.stringify(filesIn(place));
    if (now === last) return;
    last = now;
    copies.push(mkdtempSync(join(folder, 'killed-')));
    execFileSync('cp', ['-a', `${place}/.`, copies.at(-1) as string]);
  });
  try {
    await recordRun(folder, { ...settings, output_dir: output }, { home });
  } finally {
    letBe();
  }
  whole = { output: contentOf(output), home: contentOf(home) };
  for (const copy of copies) bury(copy);
});
afterAll(() => letBe());

/** Files that have their names, and do not hold what they, or others, hold in the end. */
function unwhole(home: Files): string[] {
  const named = Object.entries(home).filter(([name]) => !/\.part(\/|$)|(^|\/)(lock|in-use)\//.test(name));
  const ends = new Set(Object.values(whole.home));
  const isWhole = ([name, text]: [string, string]) =>
    name.startsWith('store/answers/') ? whole.home[name]?.startsWith(text) : ends.has(text);
  return named.filter(entry => !isWhole(entry)).map(([name]) => name);
}

it('is the same in the end, of the run and of TMS_HOME, wherever it was killed: half go on, half begin again beside it', async () => {
  for (const [i, home] of begun.entries()) expect(unwhole(home), `before write ${i}`).toEqual([]);
  expect(copies.length).toBeGreaterThan(80);
  for (const [i, copy] of copies.entries()) {
    const home = join(copy, 'home');
    const left = contentOf(home);
    expect(unwhole(left), `copy ${i}`).toEqual([]);
    const output = join(copy, i % 2 === 0 ? 'out' : 'second');
    const resume = existsSync(join(output, 'run.json'));
    const run = await recordRun(folder, { ...settings, output_dir: output }, { home, resume });
    if (i % 2 === 1) expect(doneIn(run), `copy ${i}`).toEqual(lackingIn(left));
    expect(contentOf(output), `copy ${i}`).toEqual(whole.output);
    expect(contentOf(home), `copy ${i}`).toEqual(whole.home);
  }
});

/** What another run has to do itself: what is not whole in the store. */
function lackingIn(home: Files): Done {
  const isThere = (name: string) => home[name] === whole.home[name];
  const lacks = (kind: string) =>
    [...Object.keys(whole.home)].filter(name => name.startsWith(`store/${kind}/`) && !isThere(name));
  const evaluations = lacks('evaluations').map(
    name => JSON.parse(whole.home[name] as string).record.training,
  );
  const tokens = Object.keys(home).filter(name => /^cache\/[^/]+\.bin$/.test(name));
  const isTrained = lacks('trainings').length === 0;
  return {
    encoded: tokens.length < 2, // of training and of test examples
    trained: isTrained ? 'student' : 'sft student',
    answered: ['2', '4']
      .slice(2 - lacks('answers').length)
      .map(step => `sft ${step}`)
      .join(', '),
    measured: [
      ...['base', 'sft']
        .filter(name => evaluations.includes(name))
        .map(name => `${name} ${name === 'sft' ? 4 : 0}`),
      'student 4',
    ].join(', '),
  };
}
