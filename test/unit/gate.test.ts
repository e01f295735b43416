/** `retention.max_drop`: the ends of intervals are from a maximisation of the likelihood on a grid, outside this code. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { changeOf, gateOutcomeOf } from '../../src/metrics/retention.ts';
import { gateOf } from '../../src/report/gate.ts';
import { junitXml } from '../../src/report/junit.ts';
import { readResults } from '../../src/report/results.ts';
import { analyse } from '../../src/report/rows.ts';
import { called } from '../support/in-process.ts';
import { sftShape, writeEvaluation, writeFinishedRun, writeUnfinishedRun } from '../support/run-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** The student ends with 0, 4, 6, 2, 3, 1, 8 and 6 of 12 items lost. */
function lossyRun(maxDrop: number | null): string {
  const directory = temporaryDirectory();
  writeFinishedRun(directory);
  writeEvaluation(directory, 'student', 912, sftShape, 3);
  if (maxDrop !== null)
    appendFileSync(join(directory, 'config.resolved.yaml'), `retention:\n  max_drop: ${maxDrop}\n`);
  return directory;
}

const gateIn = async (directory: string) => gateOf(analyse(await readResults(directory)));

describe('a bound on the drop', () => {
  const of = (lost: number) => changeOf([{ gained: 0, lost, items: 12 }], 1);

  test.each([
    // 8 of 12 lost: [−.862, −.263]; 1 of 12: [−.354, +.179]; none: ±.242
    [8, 0.262, 'failed'],
    [8, 0.263, 'inconclusive'],
    [8, 0.861, 'inconclusive'],
    [8, 0.863, 'passed'],
    [1, 0.05, 'inconclusive'],
    [1, 0.354, 'passed'],
    [0, 0.242, 'inconclusive'],
    [0, 0.243, 'passed'],
  ] as const)('of %d items of 12 lost, %d is %s', (lost, maxDrop, outcome) => {
    expect(gateOutcomeOf(of(lost), maxDrop)).toBe(outcome);
  });

  test('of 0 fails only where something is surely lost', () => {
    expect([0, 1, 3, 4, 8].map(lost => gateOutcomeOf(of(lost), 0))).toEqual([
      'inconclusive',
      'inconclusive',
      'inconclusive',
      'failed',
      'failed',
    ]);
  });

  test('is not judged where nothing was measured', () => {
    expect(gateOutcomeOf(null, 0.5)).toBe('not measured');
  });
});

describe('the gate of a run', () => {
  test('judges the model that the run was made for at its last point: over all, then each set', async () => {
    const gate = await gateIn(lossyRun(0.2));
    expect(gate).toMatchObject({ maxDrop: 0.2, training: 'student', label: 'TMS @912', outcome: 'failed' });
    expect(gate?.checks.map(({ set, outcome }) => [set, outcome])).toEqual([
      [null, 'failed'],
      ['copy', 'inconclusive'],
      ['reverse', 'inconclusive'],
      ['sort', 'inconclusive'],
      ['count', 'inconclusive'],
      ['sum', 'inconclusive'],
      ['maximum', 'inconclusive'],
      ['next', 'failed'],
      ['minus', 'inconclusive'],
    ]);
  });

  test('is inconclusive while no interval lies below the bound, and passes far from it', async () => {
    expect((await gateIn(lossyRun(0.4)))?.outcome).toBe('inconclusive');
    expect((await gateIn(lossyRun(0.87)))?.outcome).toBe('passed');
  });

  test('judges the same training when its model was moved away, and before that has ended none', async () => {
    const [directory, unfinished] = [lossyRun(0.2), temporaryDirectory()];
    writeUnfinishedRun(unfinished);
    appendFileSync(join(unfinished, 'config.resolved.yaml'), 'retention:\n  max_drop: 0.2\n');
    for (const of of [directory, unfinished]) mkdirSync(join(of, 'models', 'sft'), { recursive: true });
    rmSync(join(directory, 'models', 'student'), { recursive: true });
    expect(await gateIn(directory)).toMatchObject({ training: 'student', label: 'TMS @912' });
    rmSync(join(directory, 'models'), { recursive: true });
    expect(await gateIn(directory)).toMatchObject({ training: 'student', label: 'TMS @912' });
    expect(await gateIn(unfinished)).toBeNull();
  });

  test('is none where nothing is demanded', async () => {
    expect(await gateIn(lossyRun(null))).toBeNull();
  });
});

describe('tms report', () => {
  test('exits with 2, names the sets and writes JUnit, when everything else is written', async () => {
    const directory = lossyRun(0.2);
    const junit = join(directory, 'ci', 'gate.xml');
    const { printed, error } = await called(['report', directory, '--junit', junit]);
    expect(error).toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(
        /^TMS @912 dropped by more than retention\.max_drop 0\.2: the mean over all sets −0\.313 .*, next −0\.667 \[−0\.862, −0\.263\]$/,
      ),
    });
    expect(printed).toContain(
      'Gate, TMS @912, retention.max_drop 0.2: failed: the mean over all sets −0.313',
    );
    const xml = readFileSync(junit, 'utf8');
    expect(xml).toContain('<testsuite name="lab-demo" tests="9" failures="2" errors="0" skipped="0">');
    expect(xml).toMatch(/name="TMS @912: next"><failure type="retention.max_drop" message="next: −0.667 /);
    expect(xml).toMatch(/name="TMS @912: copy"><system-out>copy: 0.000 .* inconclusive at/);
    const { gate } = JSON.parse(readFileSync(join(directory, 'report.json'), 'utf8'));
    expect(gate).toMatchObject({ maxDrop: 0.2, outcome: 'failed' });
  });

  test('--json prints report.json, and ends well where the bound holds', async () => {
    const directory = lossyRun(0.87);
    const { printed, error } = await called(['report', directory, '--json']);
    expect(error).toBeNull();
    expect(JSON.parse(printed)).toEqual(JSON.parse(readFileSync(join(directory, 'report.json'), 'utf8')));
  });

  test('of a run whose model is not there yet writes a case that is skipped', async () => {
    const directory = temporaryDirectory();
    writeUnfinishedRun(directory);
    appendFileSync(join(directory, 'config.resolved.yaml'), 'retention:\n  max_drop: 0.2\n');
    const junit = join(directory, 'gate.xml');
    expect((await called(['report', directory, '--junit', junit])).error).toBeNull();
    expect(readFileSync(junit, 'utf8')).toContain('tests="1" failures="0" errors="0" skipped="1"');
  });

  test('refuses --junit without a bound', async () => {
    const directory = lossyRun(null);
    const { error } = await called(['report', directory, '--junit', join(directory, 'gate.xml')]);
    expect(error).toMatchObject({
      exitCode: 3,
      message: expect.stringContaining('retention.max_drop'),
      fix: `say what is demanded: npx tms resume ${directory} --set retention.max_drop=0.05`,
    });
    expect(existsSync(join(directory, 'gate.xml'))).toBe(false);
  });
});

test('JUnit escapes what XML would read, and has no control characters', () => {
  const xml = junitXml('a & "b"', [
    { name: '<x>', state: 'skipped', type: 't', text: 'bell \u0007, half \ud800, <end>' },
  ]);
  expect(xml).toContain(
    '<testsuite name="a &amp; &quot;b&quot;" tests="1" failures="0" errors="0" skipped="1">',
  );
  expect(xml).toContain('name="&lt;x&gt;"><skipped message="bell  , half  , &lt;end&gt;"/>');
});
