import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareResults, comparisonRecord, comparisonText } from '../../src/report/compare.ts';
import { flipsOf } from '../../src/report/flips.ts';
import { amount, duration, fixed, shortDuration, signed } from '../../src/report/format.ts';
import { type Results, readResults } from '../../src/report/results.ts';
import { costLines, loadingLines } from '../../src/report/row-costs.ts';
import { analyse } from '../../src/report/rows.ts';
import { differenceSentences, statusSentence } from '../../src/report/summary.ts';
import { alignedTable, finalTable, markdownTable } from '../../src/report/table.ts';
import { verdictText } from '../../src/report/verdicts.ts';
import { writeReport } from '../../src/report/write-report.ts';
import {
  evaluationOf,
  hostileAnswer,
  sftShape,
  studentShape,
  writeFinishedRun,
  writeUnfinishedRun,
} from '../support/run-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

function finishedRun(name?: string): string {
  const directory = temporaryDirectory();
  writeFinishedRun(directory, name);
  return directory;
}

function unfinishedRun(): string {
  const directory = temporaryDirectory();
  writeUnfinishedRun(directory);
  return directory;
}

/** A finished run with the target and one set of twelve items that no model ever gets wrong. */
function runOfOneSet(): string {
  const directory = finishedRun();
  for (const name of readdirSync(join(directory, 'evaluation'))) {
    const file = join(directory, 'evaluation', name);
    const record = JSON.parse(readFileSync(file, 'utf8'));
    const sets = record.sets.filter((set: { name: string }) => ['countdown', 'copy'].includes(set.name));
    writeFileSync(file, JSON.stringify({ ...record, sets }));
  }
  return directory;
}

/** On one line. */
async function finalTableOf(directory: string): Promise<string> {
  return finalTable(await readResults(directory))
    .join(' ')
    .replace(/ +/g, ' ');
}

describe('results of a finished run', () => {
  test('have the rows of the table with hand-computed values', async () => {
    const { rows } = analyse(await readResults(finishedRun()));
    expect(rows.map(({ training, kind, step }) => [training, kind, step])).toEqual([
      ['base', 'base', 0],
      ['sft', 'last', 912],
      ['sft', 'best', 684],
      ['student', 'last', 912],
      ['control', 'last', 912],
    ]);
    const [base, sft, best, student, control] = rows;
    expect(base).toMatchObject({
      target: { mean: 0.5 },
      sampledTarget: 0.3,
      change: null,
      drift: null,
      cost: null,
    });
    expect(sft?.target?.mean).toBe(33 / 50);
    expect(sft?.change?.mean).toBeCloseTo(-30 / 96, 12);
    expect(sft?.drift).toBeCloseTo(0.288 - 0.172, 12);
    expect(sft).toMatchObject({ pld: 0.288, klTarget: 8, klRetention: 3.7, change: { items: 96, sets: 8 } });
    expect(best?.target?.mean).toBe(34 / 50);
    expect(best?.change?.mean).toBeCloseTo(-23 / 96, 12);
    expect(control?.change?.mean).toBeCloseTo(-5 / 96, 12);
    expect(student?.change?.mean).toBeCloseTo(-3 / 96, 12);
    expect(student?.drift).toBeCloseTo(0.156 - 0.155, 12);
  });

  test('count for TMS the SFT run and the answers, and for an early point its share of steps', async () => {
    const { rows } = analyse(await readResults(finishedRun()));
    const [, sft, best, student, control] = rows.map(({ cost }) => cost);
    const own = { includes: [], missing: [] };
    expect(sft).toEqual({
      trainTokens: 480_000,
      sampledTokens: 0,
      seconds: 40,
      precision: 'measured',
      ...own,
    });
    expect(best).toEqual({ trainTokens: 360_000, sampledTokens: 0, seconds: 30, precision: 'share', ...own });
    expect(control).toEqual({
      trainTokens: 470_000,
      sampledTokens: 6_000,
      seconds: 39,
      precision: 'measured',
      ...own,
    });
    expect(student).toEqual({
      trainTokens: 980_000,
      sampledTokens: 60_000,
      seconds: 87,
      precision: 'measured',
      includes: ['SFT'],
      missing: [],
    });
  });

  test('say that the cost is partial where the SFT run came from the store', async () => {
    const directory = finishedRun();
    const timing = readFileSync(join(directory, 'timing.jsonl'), 'utf8').split('\n');
    writeFileSync(
      join(directory, 'timing.jsonl'),
      timing.filter(line => !line.includes('"sft/train"')).join('\n'),
    );
    const table = finalTable(await readResults(directory)).join('\n');
    expect(table).toMatch(/TMS @912.* ≥500k /);
    expect(table).toContain('≥: from the store came SFT; what that cost is not counted here');
  });

  test('give the curriculum and the use of every answer', async () => {
    const { curricula, prompts, answerSets } = await readResults(finishedRun());
    const [curriculum, ...others] = curricula;
    expect(others).toEqual([]);
    if (curriculum === undefined) throw new Error('there is no curriculum');
    const { sources, perCheckpoint, visits } = curriculum;
    expect([curriculum.training, visits]).toEqual(['student', 48 * 20]);
    expect(Object.values(sources).reduce((a, b) => a + b)).toBe(48 * 20);
    expect(perCheckpoint.reduce((sum, one) => sum + one.visits, 0)).toBe(sources.answer);
    const shown = prompts.flatMap(({ answers }) => answers);
    const uses = shown.flatMap(answer => answer.uses ?? []);
    expect(uses.reduce((sum, { used }) => sum + used, 0)).toBe(sources.answer);
    expect(uses.reduce((sum, { replaced }) => sum + replaced, 0)).toBe(sources['gold-for-unfinished']);
    expect(new Set(uses.map(({ training }) => training))).toEqual(new Set(['student']));
    const ofGold = prompts.flatMap(({ goldUses }) => goldUses);
    expect(ofGold.reduce((sum, { used }) => sum + used, 0)).toBe(
      sources.gold + sources['gold-for-unfinished'],
    );
    const unfinished = shown.filter(({ isFinished }) => !isFinished);
    expect(unfinished.every(answer => answer.uses?.every(({ used }) => used === 0))).toBe(true);
    expect(answerSets.reduce((sum, { answers }) => sum + answers, 0)).toBe(shown.length);
    expect(answerSets.map(set => set.visits)).toEqual(perCheckpoint.map(one => one.visits));
    for (const { answers, undrawn } of prompts) expect(answers.length + undrawn.length).toBe(10);
  });

  test('name the items that flipped against the base', async () => {
    const flips = flipsOf(analyse(await readResults(finishedRun())));
    const sft = flips.find(({ training }) => training === 'sft');
    expect(sft?.sets.map(({ name, rightToWrong }) => [name, rightToWrong.length])).toEqual([
      ['countdown', 0],
      ['copy', 0],
      ['reverse', 4],
      ['sort', 6],
      ['count', 2],
      ['sum', 3],
      ['maximum', 1],
      ['next', 8],
      ['minus', 6],
    ]);
    // of maximum the item whose place comes last, 7 · 11 = 5 modulo 12, is the first to go wrong
    const [flipped] = sft?.items.filter(({ set }) => set === 'maximum') ?? [];
    expect(flipped).toEqual({
      set: 'maximum',
      id: 'maximum-5',
      direction: 'right→wrong',
      baseAnswer: 'right 5',
      answer: 'wrong 5',
    });
  });

  test('measure drift of a student that starts from SFT against where it starts', async () => {
    const directory = finishedRun();
    const file = join(directory, 'plan.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"startsFrom": "base"', '"startsFrom": "sft"'));
    const { curves } = analyse(await readResults(directory));
    const points = curves.find(({ training }) => training.name === 'student')?.points ?? [];
    expect(points.map(({ step, pld }) => [step, pld.test?.nllPerToken])).toEqual([
      [0, 0.288],
      [228, 0.181],
      [456, 0.169],
      [684, 0.155],
      [912, 0.156],
    ]);
  });

  test('take guessed settings from the plan, under the plan’s names or the configuration’s', async () => {
    const directory = finishedRun();
    const guessed = [
      { key: 'seed', value: 1, why: 'ours' },
      { path: 'tms.order', value: 'random', basis: 'theirs', description: 'unused' },
    ];
    writeFileSync(join(directory, 'plan.json'), JSON.stringify({ guessed, other: {} }));
    expect((await readResults(directory)).guessed).toEqual([
      { key: 'seed', value: 1, why: 'ours' },
      { key: 'tms.order', value: 'random', why: 'theirs' },
    ]);
  });
});

describe('results of a run that is not whole', () => {
  test('show what an interrupted run measured, and say that it is not finished', async () => {
    const results = await readResults(unfinishedRun());
    expect(analyse(results).rows.map(({ training, step }) => [training, step])).toEqual([
      ['base', 0],
      ['sft', 456],
    ]);
    expect(results.losses.sft).toHaveLength(500);
    expect(results.tornFiles).toEqual(['metrics.jsonl']);
    expect(statusSentence(results)).toContain('was interrupted and is not finished');
    expect(finalTable(results)[0]).toContain('was interrupted and is not finished');
  });

  test('work with nothing but run.json', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'run.json'), readFileSync(join(unfinishedRun(), 'run.json')));
    const results = await readResults(directory);
    expect(finalTable(results).at(-1)).toBe('Nothing has been evaluated yet.');
    const files = await writeReport(directory);
    expect(readFileSync(files.markdown, 'utf8')).toContain('Nothing has been evaluated yet.');
  });

  test('refuse a directory without run.json', async () => {
    const directory = temporaryDirectory();
    await expect(readResults(directory)).rejects.toThrow(`${directory} has no run.json`);
  });

  test('name file and line of a broken line', async () => {
    const directory = finishedRun();
    const file = join(directory, 'curriculum.jsonl');
    const lines = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, [...lines.slice(0, 2), '{"epoch":0,', ...lines.slice(3)].join('\n'));
    await expect(readResults(directory)).rejects.toThrow(/curriculum\.jsonl, line 3: not JSON/);
  });

  test('name file, line and field of a value that is not of the schema', async () => {
    const directory = finishedRun();
    appendFileSync(
      join(directory, 'timing.jsonl'),
      '{"unit":"x","kind":"train","training":"sft","seconds":"1","tokens":0}\n',
    );
    await expect(readResults(directory)).rejects.toThrow(/timing\.jsonl, line 11: seconds: /);
  });

  test('name an evaluation of other items', async () => {
    const directory = finishedRun();
    const record = evaluationOf('student', 912, studentShape, 3);
    const sets = record.sets.map(set => ({ ...set, items: set.items.slice(1) }));
    const file = join(directory, 'evaluation', 'student-step-000912.json');
    writeFileSync(file, JSON.stringify({ ...record, sets }));
    await expect(readResults(directory)).rejects.toThrow(
      'student-step-000912.json: evaluates other items: countdown item countdown-1, where the evaluation of base at step 0 has countdown item countdown-0',
    );
  });
});

describe('final table', () => {
  test('has aligned cells, at most 100 columns wide', async () => {
    const lines = finalTable(await readResults(finishedRun()));
    expect(lines.slice(0, 8)).toEqual([
      '                  target acc.                                  PLD KL(base‖model)        tokens',
      '                 greedy   T=1          Δ retention   α   end drift  target reten. train sampled time',
      'base              0.500 0.300                    –   – 1.880     –    0.00   0.00     –       –    –',
      'SFT @912          0.660 0.680 −.313 [−.411, −.229]   – 0.288 0.116    8.00   3.70  480k       –  40s',
      'SFT best @684     0.680 0.670 −.240 [−.334, −.156]   – 0.219 0.047    7.80   2.60 ≈360k       – ≈30s',
      'TMS @912          0.660 0.530 −.031 [−.088, +.008] .30 0.156 0.001    7.00   0.84  980k   60.0k  87s',
      'base answers @912', // has no room beside its numbers
      '                  0.420 0.320 −.052 [−.116, −.012]   – 1.900 0.050    0.62   0.56  470k   6.00k  39s',
    ]);
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(100);
  });

  test('of a base that runs on doubts every Δ against it, for the share asked for and the set that it is of', async () => {
    const directory = finishedRun();
    const file = join(directory, 'evaluation', 'base-step-000000.json');
    const record = JSON.parse(readFileSync(file, 'utf8'));
    const leave = (unfinished: number) => {
      const sets = record.sets.map((set: { name: string }) =>
        set.name === 'reverse' ? { ...set, unfinished } : set,
      );
      writeFileSync(file, JSON.stringify({ ...record, sets }));
      return readResults(directory);
    };
    const doubtful = analyse(await leave(2)).rows; // 2 of 12 are more than a tenth
    expect(doubtful.map(({ training, endless, isDoubtful }) => [training, endless, isDoubtful])).toEqual([
      ['base', { answers: 96, unfinished: 2 }, false],
      ...['sft', 'sft', 'student', 'control'].map(training => [
        training,
        { answers: 96, unfinished: 0 },
        true,
      ]),
    ]);
    for (const { verdict, sets } of doubtful.slice(1)) {
      expect(verdict).toBe('not measured');
      expect(sets.filter(set => set.verdict === 'not measured').map(({ name }) => name)).toEqual(['reverse']);
    }
    const text = finalTable(await leave(2))
      .join(' ')
      .replace(/ +/g, ' ');
    expect(text).toContain('SFT @912 0.660 0.680 −.313 [−.411, −.229] ? 0% ');
    expect(text).toContain('No end: 2 of 96 answers of base to the retention sets never ended');
    // What changed in the set is listed, and judged as in the table.
    const sft = flipsOf(analyse(await leave(2))).find(({ training }) => training === 'sft');
    expect(sft?.sets.find(({ name }) => name === 'reverse')?.rightToWrong).toHaveLength(4);
    const [countdown, , reverse, ...rest] = sft?.sets.map(({ verdict }) => verdict) ?? [];
    expect([countdown, reverse]).toEqual([null, 'not measured']);
    expect(rest).not.toContain('not measured');
    expect(sft?.verdict).toBe('not measured');
    const accepted = analyse(await leave(1)).rows; // 1 of 12 is less
    expect(accepted.some(({ isDoubtful }) => isDoubtful)).toBe(false);
    const few = finalTable(await leave(1))
      .join(' ')
      .replace(/ +/g, ' ');
    expect(few).toContain('No end: 1 of 96 answers of base to the retention sets never ended');
    expect(few).not.toContain('not to be trusted');
  });

  test('calls no loss small of which it says that it was not measured', () => {
    // Between −margin and 0: kept with a small loss, unless too many answers have no end.
    const change = {
      mean: -0.015,
      interval: { low: -0.019, high: -0.011 },
      items: 9,
      sets: 1,
      gained: 0,
      lost: 1,
    };
    const textOf = (verdict: 'kept' | 'not measured') => verdictText({ verdict, change, margin: 0.02 });
    expect([textOf('kept'), textOf('not measured')]).toEqual(['kept, small loss', 'not measured']);
  });

  test('says what the interval covers and that the best point is chosen on the test items', async () => {
    const text = finalTable(await readResults(finishedRun()))
      .join(' ')
      .replace(/ +/g, ' ');
    expect(text).toContain('averaged over 8 sets, 96 items');
    expect(text).toContain('covers the choice of items, not of seeds (one seed)');
    expect(text).toContain('kept, where the interval lies above −0.02 (retention.margin)');
    expect(text).toContain('chosen on the same items that it is reported on, so optimistic');
    expect(text).toContain('KL(base‖model): nats per sequence');
  });

  test('says what became of retention, over all and in each set', async () => {
    const lines = finalTable(await readResults(finishedRun()));
    const [first, ...rest] = lines
      .join('\n')
      .replaceAll('\n  ', ' ')
      .split('\n')
      .filter(line => line.startsWith('Retention of'));
    // 0 of 12 lost: [−.24, .24]; 3 of 12: [−.53, .01]; 4 of 12: [−.61, −.06]
    expect(first).toBe(
      'Retention of SFT @912: lost over all; lost: reverse, sort, next, minus; inconclusive: copy, count, sum, maximum.',
    );
    expect(rest.slice(1)).toEqual([
      'Retention of TMS @912: inconclusive over all; each of 8 sets inconclusive.',
      'Retention of base answers @912: lost over all; each of 8 sets inconclusive.',
    ]);
  });

  test('says what an unchanged set excludes, and keeps what a wide margin allows', async () => {
    const directory = runOfOneSet();
    const sentence = () =>
      finalTableOf(directory).then(text => text.match(/Retention of TMS .*?\.(?= )/)?.[0]);
    // 3.8415 / (12 + 3.8415) = .2425
    expect(await sentence()).toBe(
      'Retention of TMS @912: inconclusive; 0 of 12 items changed: a change beyond ±24 points is excluded.',
    );
    appendFileSync(join(directory, 'config.resolved.yaml'), 'retention:\n  margin: 0.25\n');
    expect(await sentence()).toBe(
      'Retention of TMS @912: kept; 0 of 12 items changed: a change beyond ±24 points is excluded.',
    );
    const { html, markdown } = await writeReport(directory);
    const note =
      'Retention, TMS, last point (step 912): 0 of 12 items changed: a change beyond ±24 points is excluded.';
    for (const file of [html, markdown]) expect(readFileSync(file, 'utf8')).toContain(note);
    expect(await finalTableOf(directory)).toContain('.000 [−.242, +.242]');
  });

  test('gives the difference of TMS and SFT at both points of SFT', async () => {
    const [last, best] = differenceSentences(analyse(await readResults(finishedRun())));
    expect(last).toMatch(
      /^TMS minus SFT, last points: retention \+0\.281 \[\+0\.\d+, \+0\.\d+\], target accuracy 0\.000 /,
    );
    expect(best).toMatch(
      /^TMS, last point, minus SFT, best recorded point \(step 684\): retention \+0\.208 /,
    );
    expect(sftShape.target[2]).toBe(34);
  });

  test('leaves one space between columns where two do not fit', () => {
    const long = 'x'.repeat(49);
    expect(
      alignedTable([
        [long, long],
        ['a', 'b'],
      ])[0],
    ).toHaveLength(100);
    expect(
      alignedTable([
        [long, `${long}x`],
        ['a', 'b'],
      ])[0],
    ).toHaveLength(100);
  });

  test('keeps the names of groups apart where their columns are narrow', () => {
    const cells = [['row', 'a', 'b', 'c']];
    expect(alignedTable(cells, ['', 'a long name', 'another one', 'another one'])).toEqual([
      '     a long name   another one',
      'row            a          b  c',
    ]);
  });

  test('escapes what Markdown would read as another cell', () => {
    expect(
      markdownTable([
        ['a', 'b'],
        ['x|y', '1'],
      ]),
    ).toEqual(['| a | b |', '|:--|--:|', '| x\\|y | 1 |']);
  });
});

describe('report files', () => {
  test('hold no markup of an answer and ask nothing of the network', async () => {
    const { html, markdown } = await writeReport(finishedRun());
    const page = readFileSync(html, 'utf8');
    expect(page.includes(hostileAnswer)).toBe(false);
    expect(page.includes('&lt;/script&gt;&lt;script&gt;throw 1&lt;/script&gt;')).toBe(true);
    expect(page.match(/(?:src|href)="(?!#|data:)/)).toBeNull();
    expect(page.match(/<svg [^>]*class="panel"/g)?.length).toBe(17);
    expect(readFileSync(markdown, 'utf8')).toContain(
      '| SFT, last point (step 912) | 0.660 [0.52, 0.78] | 0.680 | −0.313 [−0.411, −0.229] | lost | – | 0.288 | 0.116 |',
    );
  });

  test('run the one script of the page and no other: its digest is in the policy', async () => {
    const page = readFileSync((await writeReport(finishedRun())).html, 'utf8');
    const scripts = [...page.matchAll(/<script>(.*?)<\/script>/gs)].map(match => match[1] ?? '');
    expect(scripts).toHaveLength(1);
    const digest = createHash('sha256')
      .update(scripts[0] ?? '')
      .digest('base64');
    expect(page).toContain(`script-src 'sha256-${digest}';`);
    expect(page).not.toMatch(/script-src[^;]*unsafe-inline/);
  });

  test('read names and errors of a run as text in Markdown too', async () => {
    const directory = finishedRun();
    const text = '<img src=x onerror=1> | a\n# b\n```\n<i>';
    const config = join(directory, 'config.resolved.yaml');
    const name = `run_name: ${JSON.stringify(text)}`;
    writeFileSync(config, readFileSync(config, 'utf8').replace('run_name: lab-demo', name));
    const record = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8'));
    writeFileSync(join(directory, 'run.json'), JSON.stringify({ ...record, status: 'failed', error: text }));
    const page = readFileSync((await writeReport(directory)).markdown, 'utf8');
    expect(page.split('\n')[0]).toBe('# &lt;img src=x onerror=1> | a # b ``` &lt;i>');
    expect(page).not.toMatch(/<img|^# b/m);
  });

  test('judge every set of the last points, in both pages', async () => {
    const { html, markdown } = await writeReport(finishedRun());
    const page = readFileSync(html, 'utf8');
    expect(page).toMatch(
      /<td>all 8 retention sets<\/td><td>−0\.313 <small>.{16}<\/small><\/td><td>lost<\/td><td>96<\/td><td>30<\/td><td>0</,
    );
    expect(page).toMatch(
      /<td>next<\/td><td>−0\.667 <small>.{16}<\/small><\/td><td>lost<\/td><td>12<\/td><td>8<\/td><td>0</,
    );
    expect(page).toMatch(
      /<td>countdown \(target\)<\/td><td>\+0\.160 <small>.{16}<\/small><\/td><td>–<\/td><td>50</,
    );
    expect(readFileSync(markdown, 'utf8')).toMatch(
      /\| copy \| 0\.000 \[−0\.242, \+0\.242\] inconclusive \| 0\.000 /,
    );
  });

  test('give a program the rows with changes, intervals and verdicts', async () => {
    const { json } = await writeReport(finishedRun());
    const { rows, ...facts } = JSON.parse(readFileSync(json, 'utf8'));
    expect(facts).toEqual({
      format: 1,
      id: 'r-7f3a',
      name: 'lab-demo',
      gate: null,
      method: 'tms',
      status: 'finished',
    });
    const [base, sft] = rows;
    expect(base).toMatchObject({
      training: 'base',
      label: 'base',
      step: 0,
      change: null,
      verdict: null,
      sets: [],
    });
    expect(sft).toMatchObject({
      training: 'sft',
      label: 'SFT',
      role: 'baseline',
      step: 912,
      kind: 'last',
      verdict: 'lost',
      margin: 0.02,
    });
    expect(sft.change).toMatchObject({ mean: -0.3125, items: 96, sets: 8, gained: 0, lost: 30 });
    expect(sft.sets[0]).toMatchObject({ name: 'copy', verdict: 'inconclusive', change: { lost: 0 } });
    expect(sft.sets[6]).toMatchObject({ name: 'next', verdict: 'lost', change: { lost: 8, items: 12 } });
  });

  test('are the same bytes when written again', async () => {
    const directory = finishedRun();
    const first = readFileSync((await writeReport(directory)).html);
    expect(readFileSync((await writeReport(directory)).html).equals(first)).toBe(true);
  });

  test('name the split of PLD, the direction of KL and the items in captions', async () => {
    const page = readFileSync((await writeReport(finishedRun())).html, 'utf8');
    expect(
      page.includes(
        'nats per token, (a) on 300 examples that were held out. (b) on 300 examples of the training set',
      ),
    ).toBe(true);
    expect(page.includes('KL(base‖model) in nats per sequence')).toBe(true);
    expect(page.includes('96 items in 8 retention sets, 95 % score interval')).toBe(true);
    expect(page.includes('drift and forgetting both grow with time')).toBe(true);
  });

  test('give the line that loads the model, for adapters that of peft', async () => {
    const directory = finishedRun();
    const results = await readResults(directory);
    expect(loadingLines(results)?.[1]).toBe(
      `model = AutoModelForCausalLM.from_pretrained("${join(directory, 'models', 'student')}")`,
    );
    const adapter = { ...results, config: { use_peft: true } };
    expect(loadingLines(adapter)?.[0]).toBe('from peft import AutoPeftModelForCausalLM');
    expect(loadingLines({ ...results, model: null })).toBeNull();
  });

  test('share out the time of all stages', async () => {
    const lines = costLines(await readResults(finishedRun()));
    expect(lines.map(({ training, kind, seconds }) => `${training} ${kind} ${seconds}`)).toEqual([
      'base load 1.2',
      'sft train 40',
      'sft evaluate 6',
      'student train 40',
      'student answer 7',
      'student save 0.4',
      'student evaluate 6',
      'control train 38',
      'control answer 1',
    ]);
    expect(lines.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
  });
});

describe('comparison of runs', () => {
  test('shows rows of both, paired differences and settings that differ', async () => {
    const [first, second] = [finishedRun('one'), finishedRun('two')];
    const config = join(second, 'config.resolved.yaml');
    writeFileSync(config, readFileSync(config, 'utf8').replace('alpha: 0.25', 'alpha: 0.5'));
    const results = [await readResults(first), await readResults(second)];
    const text = comparisonText(compareResults(results)).join('\n');
    expect(text).toMatch(/^A {2}one .*\nB {2}two /);
    expect(text).toContain('\nA TMS @912 ');
    expect(text).toContain('\nB TMS @912 ');
    expect(text.replace(/\n +/g, ' ')).toContain(
      'B minus A, TMS, last points: retention accuracy 0.000 [−0.038, +0.038], 0 of 96 items in 8 sets changed: a change beyond ±3.8 points is excluded, target accuracy 0.000 [−0.071, +0.071]',
    );
    expect(text).toContain(
      '\nRetention of B TMS @912: inconclusive over all; each of 8 sets inconclusive.\n',
    );
    expect(text).toMatch(/setting +A +B\ntms\.alpha +0\.25 +0\.5$/);
  });

  test('warns of other base models and of an unfinished run', async () => {
    const [first, second] = [await readResults(finishedRun()), await readResults(unfinishedRun())];
    const other = { ...second, run: { ...second.run, baseDigest: 'another' } };
    const { cautions, differences } = compareResults([first, other]);
    expect(cautions).toHaveLength(2);
    expect(cautions[0]).toMatch(/^B: This run was interrupted/);
    expect(cautions[1]).toContain('different base models');
    const name = first.evaluations[0]?.sets[1]?.name;
    const scored = (path: string, digest: string) => ({
      ...first,
      run: { ...first.run, evaluationDigests: { [`evaluation set ${name} (${path})`]: digest } },
    });
    expect(compareResults([scored('here', 'one'), scored('there', 'two')]).cautions).toEqual([
      `the evaluation set ${name} is not the same: its items, how they are asked, or the scorer.`,
    ]);
    expect(compareResults([scored('here', 'one'), scored('there', 'one')]).cautions).toEqual([]);
    expect(differences.map(({ training }) => training)).toEqual(['sft']);
    expect(differences[0]?.retention?.mean).toBeCloseTo((30 - 10) / 96, 12);
  });

  test('does not call retention measured of which too many answers have no end', async () => {
    const [first, second] = [finishedRun('one'), finishedRun('two')];
    const file = join(second, 'evaluation', 'student-step-000912.json');
    const record = JSON.parse(readFileSync(file, 'utf8'));
    // 2 of 12 are more than a tenth
    const sets = record.sets.map((set: { name: string }) => ({
      ...set,
      unfinished: set.name === 'sort' ? 2 : 0,
    }));
    writeFileSync(file, JSON.stringify({ ...record, sets }));
    const results = [await readResults(first), await readResults(second)];
    const text = comparisonText(compareResults(results)).join(' ').replace(/\s+/g, ' ');
    const instead =
      'last points: retention not measured, because too many answers have no end, target accuracy 0.000';
    expect(text).toContain('B minus A, SFT, last points: retention accuracy 0.000');
    expect(text).toContain(`B minus A, TMS, ${instead}`);
    expect(differenceSentences(analyse(results[1] as Results))[0]).toContain(`TMS minus SFT, ${instead}`);
  });

  test('gives a program both runs with their verdicts, and the differences', async () => {
    const results = [await readResults(finishedRun('one')), await readResults(finishedRun('two'))];
    const record = JSON.parse(JSON.stringify(comparisonRecord(compareResults(results))));
    expect(record.runs.map(({ letter, name }: { letter: string; name: string }) => [letter, name])).toEqual([
      ['A', 'one'],
      ['B', 'two'],
    ]);
    expect(record.runs[1].rows.map(({ verdict }: { verdict: string }) => verdict)).toEqual([
      null,
      'lost',
      'lost',
      'inconclusive',
      'lost',
    ]);
    expect(record.differences[1]).toMatchObject({
      run: 'B',
      training: 'student',
      against: 'student',
      retention: { mean: 0, lost: 0 },
    });
  });

  test('is refused for one run', async () => {
    const one = [await readResults(finishedRun())];
    expect(() => compareResults(one)).toThrow('at least two runs');
  });
});

describe('numbers as text', () => {
  test.each([
    [fixed(-0.3126), '−0.313'],
    [fixed(-0.0001), '0.000'],
    [fixed(null), '–'],
    [signed(0.25), '+0.250'],
    [signed(0), '0.000'],
    [amount(812), '812'],
    [amount(52_400), '52.4k'],
    [amount(999_700), '1.00M'],
    [amount(0), '0'],
    [duration(0.4), '0.40 s'],
    [duration(725), '12 min 5 s'],
    [duration(12_000), '3 h 20 min'],
    [shortDuration(725), '12m05s'],
    [shortDuration(12_000), '3h20m'],
  ])('%s', (text, expected) => {
    expect(text).toBe(expected);
  });
});

test('a training whose updates were rounded away says so below the table, from a twentieth on', async () => {
  const directory = temporaryDirectory();
  writeFinishedRun(directory);
  const file = join(directory, 'metrics.jsonl');
  const share: Record<string, number> = { 'sft 10': 0.6, 'sft 20': 0.8, 'student 10': 0.01 };
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const changed = lines.map(line => {
    const { training, step } = JSON.parse(line) as { training: string; step: number };
    const lost = share[`${training} ${step}`];
    return lost === undefined ? line : line.replace('}', `,"lost_updates":${lost}}`);
  });
  writeFileSync(file, changed.join('\n'));
  const results = await readResults(directory);
  expect(results.lostUpdates).toEqual({ sft: expect.closeTo(0.7), student: 0.01 });
  const table = finalTable(results).join(' ').replaceAll(/\s+/g, ' ');
  expect(table).toContain('SFT: in a step 70 % of the weights that had a gradient did not change');
  expect(table).not.toContain('TMS: in a step');
  const other = await readResults(finishedRun());
  const compared = comparisonText(compareResults([other, results]))
    .join(' ')
    .replaceAll(/\s+/g, ' ');
  expect(compared).toContain('B SFT: in a step 70 % of the weights that had a gradient did not change');
  expect(compared).not.toMatch(/A SFT: in a step|TMS: in a step/);
});
