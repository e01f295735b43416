/** A report says what was measured: a file of a run that is no longer what the ledger says is named, and a resume makes it again. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readResults } from '../../src/report/results.ts';
import { recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const sets = [saySet(folder)];
const settings = smallRun(folder, { retention: { sets } });

let whole: string;
beforeAll(async () => {
  whole = (await recordRun(folder, settings)).output;
});

/** A copy of the finished run, with a file changed. */
function damaged(name: string, change: (text: string) => string | null): string {
  const copy = join(folder, `copy-${Math.random().toString(36).slice(2)}`);
  cpSync(whole, copy, { recursive: true });
  const text = change(readFileSync(join(copy, name), 'utf8'));
  if (text === null) rmSync(join(copy, name));
  else writeFileSync(join(copy, name), text);
  return copy;
}

const report = (output: string) => readResults(output).catch((error: Error) => error);
const resume = (output: string) =>
  recordRun(folder, { ...settings, output_dir: output } as Settings, {
    resume: true,
    home: `${output}-home`, // its plan knows no times that others took
  });

const measured = [
  'evaluation/base-step-000000.json',
  'evaluation/student-step-000009.json',
  'answers/student/sft-step-000003.jsonl',
  'curriculum.jsonl',
  'examples.jsonl',
  'plan.json',
  'environment.json',
];
/** JSON stays JSON: nothing but the digest tells. */
const otherDigit = (text: string) =>
  text.includes('"loss":')
    ? text.replace(/("loss":\d+\.)(\d)/, (_, before, digit) => `${before}${9 - digit}`)
    : text.replace(/\d(?=\D*$)/, digit => String(9 - Number(digit)));

describe('a report of a run', () => {
  it('is made where every file is as it was', async () => {
    expect(await report(whole)).toMatchObject({ run: { status: 'finished' }, tornFiles: [] });
  });

  it.each([...measured, 'metrics.jsonl'])(
    'is refused where a digit of %s is another, and names the file',
    async name => {
      const output = damaged(name, otherDigit);
      const error = await report(output);
      expect(error).toMatchObject({ message: expect.stringContaining(join(output, name)), exitCode: 1 });
      expect(error).toMatchObject({ fix: expect.stringContaining(`tms resume ${output}`) });
    },
  );

  it.each([...measured, 'metrics.jsonl'])('is refused where %s is gone', async name => {
    const error = await report(damaged(name, () => null));
    expect(error).toMatchObject({ message: expect.stringContaining(name), exitCode: 1 });
  });

  it('names everything that is wrong at once', async () => {
    const output = damaged('curriculum.jsonl', otherDigit);
    rmSync(join(output, 'evaluation/base-step-000000.json'));
    const { message } = (await report(output)) as Error;
    expect(message).toMatch(/base-step-000000.json is missing.*curriculum.jsonl is not what the ledger says/);
  });

  it('names a damaged ledger by line, and takes one whose last line has no end', async () => {
    const lineWith = (text: string) => text.split('\n').findIndex(line => line.includes('"evaluate"')) + 1;
    const output = damaged('ledger.jsonl', text => text.replace('"evaluate"', '"evaluatf"'));
    const line = lineWith(readFileSync(join(whole, 'ledger.jsonl'), 'utf8'));
    expect(await report(output)).toMatchObject({
      message: expect.stringContaining(`ledger.jsonl, line ${line}`),
    });
    for (const cut of [1, 10])
      expect(await report(damaged('ledger.jsonl', text => text.slice(0, -cut)))).not.toBeInstanceOf(Error);
  });
});

describe('a resume', () => {
  it.each([...measured, 'metrics.jsonl'])('makes %s again, as it was', async name => {
    const output = damaged(name, otherDigit);
    await resume(output);
    expect(readFileSync(join(output, name), 'utf8')).toBe(readFileSync(join(whole, name), 'utf8'));
    expect(await report(output)).not.toBeInstanceOf(Error);
  });
});
