/** The report of a run whose trainings nobody named in this program. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseHTML } from 'linkedom';
import { describe, expect, test } from 'vitest';
import { compareResults, comparisonText } from '../../src/report/compare.ts';
import { checkpointLabel } from '../../src/report/format.ts';
import { looksOf, palette } from '../../src/report/marks.ts';
import { pageStyle } from '../../src/report/page-style.ts';
import { readResults } from '../../src/report/results.ts';
import { costLines } from '../../src/report/row-costs.ts';
import { analyse } from '../../src/report/rows.ts';
import { curriculumSentences, differenceSentences } from '../../src/report/summary.ts';
import { finalTable } from '../../src/report/table.ts';
import { writeReport } from '../../src/report/write-report.ts';
import { plannedTrainings } from '../../src/run/records.ts';
import { findResultModel, listTrainings, resultTraining } from '../../src/run/trainings.ts';
import type { Cell } from '../../src/study/cells.ts';
import { outcomeOf, outcomesOf } from '../../src/study/outcomes.ts';
import { called } from '../support/in-process.ts';
import { rounds, writeRounds } from '../support/rounds-fixture.ts';
import { writeFinishedRun } from '../support/run-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

function roundsRun(options?: Parameters<typeof writeRounds>[1]): string {
  const directory = temporaryDirectory();
  writeRounds(directory, options);
  return directory;
}

const analysisOf = async (directory: string) => analyse(await readResults(directory));
const oneLine = (lines: readonly string[]) => lines.join(' ').replace(/\s+/g, ' ');

describe('the trainings of any method', () => {
  test('have rows in the order in which they run, a control only its last one', async () => {
    const { rows } = await analysisOf(roundsRun());
    expect(rows.map(({ training, label, role, kind, step }) => [training, label, role, kind, step])).toEqual([
      ['base', 'base', 'base', 'base', 0],
      ['plain', 'gold only', 'baseline', 'last', 60],
      ['plain', 'gold only', 'baseline', 'best', 30],
      ['round-1', 'round 1', 'method', 'last', 60],
      ['round-2', 'round 2', 'method', 'last', 60],
      ['mixed', 'gold + replay', 'method', 'last', 60],
      ['self', 'own samples', 'control', 'last', 60],
    ]);
    // Of 50 target items; of 96 retention items, those wrong by name: 6 + 8 + 4, 3 + 4 + 2, 1 + 2, 2 + 2, 3 + 2, 1.
    const right = [25, 34, 36, 30, 35, 37, 23];
    const wrong = [18, 9, 3, 4, 5, 1];
    expect(rows.map(({ target }) => target?.mean)).toEqual(right.map(count => count / 50));
    rows.slice(1).forEach(({ change }, i) => {
      expect(change?.mean).toBeCloseTo(-(wrong[i] ?? 0) / 96, 12);
    });
  });

  test('cost what they and the trainings that they need cost', async () => {
    const { rows, results } = await analysisOf(roundsRun());
    const found = rows.map(({ cost, label, kind }) => [
      `${label} ${kind}`,
      cost?.trainTokens,
      cost?.sampledTokens,
      Number(cost?.seconds.toFixed(9)),
      cost?.includes,
    ]);
    expect(found.slice(1)).toEqual([
      ['gold only last', 1000, 0, 1, []],
      ['gold only best', 500, 0, 0.5, []],
      ['round 1 last', 2000, 200, 2.2, []],
      ['round 2 last', 5000, 500, 5.5, ['round 1']],
      ['gold + replay last', 9000, 900, 9.9, ['round 1', 'round 2']], // round 1, since round 2 needs it
      ['own samples last', 5000, 500, 5.5, []],
    ]);
    expect(costLines(results).map(({ training, kind }) => `${training} ${kind}`)).toEqual([
      'plain train',
      ...['round-1', 'round-2', 'mixed', 'self'].flatMap(name => [`${name} train`, `${name} answer`]),
    ]);
  });

  test('have a part of their cost counted where one that they need came from the store', async () => {
    const directory = roundsRun();
    const file = join(directory, 'timing.jsonl');
    const lines = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, lines.filter(line => !line.includes('"train round-1"')).join('\n'));
    const results = await readResults(directory);
    const costs = analyse(results).rows.map(({ training, cost }) => [
      training,
      cost?.precision,
      cost?.missing,
    ]);
    expect(costs.slice(3)).toEqual([
      ['round-1', undefined, undefined],
      ['round-2', 'partial', ['round 1']],
      ['mixed', 'partial', ['round 1']],
      ['self', 'measured', []],
    ]);
    expect(oneLine(finalTable(results))).toContain('≥: from the store came round 1; what that cost');
  });

  test('are held against each baseline, if they are methods', async () => {
    const sentences = differenceSentences(await analysisOf(roundsRun()));
    expect(sentences.map(sentence => sentence.split(':')[0])).toEqual(
      ['round 1', 'round 2', 'gold + replay'].flatMap(label => [
        `${label} minus gold only, last points`,
        `${label}, last point, minus gold only, best recorded point (step 30)`,
      ]),
    );
    expect(sentences[0]).toMatch(/retention \+0\.156 \[.*, target accuracy −0\.080 \[/); // 15 of 96, 4 of 50
  });

  test('start where the plan says: drift is measured from there on', async () => {
    const { curves } = await analysisOf(roundsRun());
    const points = curves.find(({ training }) => training.name === 'round-2')?.points ?? [];
    // 0.4 − 30/200 + 3/100 at the end of round 1; 0.4 − 35/200 + 4/100 at that of round 2
    expect(points.map(({ training, step }) => [training, step])).toEqual([
      ['round-1', 0],
      ['round-2', 30],
      ['round-2', 60],
    ]);
    expect(points.map(({ pld }) => Number(pld.test?.nllPerToken.toFixed(9)))).toEqual([0.28, 0.4, 0.265]);
    expect(points.map(({ drift }) => Number(drift?.toFixed(9)))).toEqual([0, 0.12, 0]);
  });

  test('have a table and notes under their own names', async () => {
    const lines = finalTable(await readResults(roundsRun()));
    expect(lines.slice(0, 12).flatMap(line => line.match(/^.* @\d+/)?.[0] ?? [])).toEqual([
      'gold only @60',
      'gold only best @30',
      'round 1 @60',
      'round 2 @60',
      'gold + replay @60',
      'own samples @60',
    ]);
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(100);
    const text = oneLine(lines);
    expect(text).toContain('Retention of round 2 @60: ');
    expect(text).toContain('own samples: a control, trained on the base’s own answers.');
    expect(text).toContain('own samples: learned as they are: 1 unfinished of 2 drawn answers.');
    expect(text).toContain(
      'gold + replay: gold took the place of 1 of 3 drawn answers (1 unfinished): α 0.500',
    );
    expect(text).toContain('; round 2 includes round 1; gold + replay includes round 1 and round 2.');
    expect(text).toContain('round 1, round 2, gold + replay: the last recorded point is also the one');
    expect(text).not.toMatch(/SFT|TMS|student/);
  });

  test('have their drawn targets told apart, and each answer its users', async () => {
    const results = await readResults(roundsRun());
    expect(
      results.curricula.map(({ training, visits, perCheckpoint }) => [training, visits, perCheckpoint]),
    ).toEqual([
      ['round-1', 3, [{ training: 'base', checkpointStep: 0, visits: 3 }]],
      ['round-2', 3, [{ training: 'round-1', checkpointStep: 60, visits: 3 }]],
      [
        'mixed',
        4,
        [
          { training: 'round-2', checkpointStep: 30, visits: 1 },
          { training: 'round-2', checkpointStep: 60, visits: 1 },
        ],
      ],
      ['self', 2, [{ training: 'base', checkpointStep: 0, visits: 2 }]],
    ]);
    expect(curriculumSentences(results)[2]).toBe(
      'gold + replay: of 4 visits, 50 % trained on an answer, 25 % on gold by the coin and 25 % on gold in place of an answer ' +
        'that was unusable (1 unfinished): α = 0.5 asked for, 0.500 in effect.',
    );
    expect(curriculumSentences(results)[0]).toContain('unusable: α = 0.000 in effect.');
    expect(results.answerSets.map(({ asker, visits }) => [asker, visits])).toEqual([
      ['round-1', 3],
      ['self', 2], // of the same base, which answered each of them for itself
      ['round-2', 3],
      ['mixed', 1],
      ['mixed', 1],
    ]);
    const [first, second] = results.prompts;
    const usesOf = (prompt: typeof first) =>
      prompt?.answers.map(({ asker, training, checkpointStep, uses }) => [
        `${asker} of ${training} @${checkpointStep}`,
        uses?.map(({ training: by, used, replaced }) => `${by} ${used} ${replaced}`).join(),
      ]);
    expect(usesOf(first)).toEqual([
      ['round-1 of base @0', 'round-1 2 0'],
      ['self of base @0', 'self 1 0'],
      ['round-2 of round-1 @60', 'round-2 1 0'],
      ['mixed of round-2 @30', 'mixed 1 0'],
      ['mixed of round-2 @60', 'mixed 1 0'],
    ]);
    expect(usesOf(second)?.at(-1)).toEqual(['mixed of round-2 @60', 'mixed 0 1']);
    expect(first?.goldUses).toEqual([{ training: 'mixed', used: 1, replaced: 0 }]);
    expect(second?.undrawn).toMatchObject([{ asker: 'mixed', training: 'round-2', checkpointStep: 30 }]);
  });
});

test('a checkpoint is named by its training and step, the base by its name alone', () => {
  const declared = Object.entries(rounds).map(([name, one]) => [name, one.declared]);
  const trainings = listTrainings(plannedTrainings.parse(Object.fromEntries(declared)), []);
  const label = (training: string, checkpointStep: number) =>
    checkpointLabel({ training, checkpointStep }, trainings);
  expect(label('round-2', 30)).toBe('round 2 @30');
  expect(['base', 'round-1'].map(name => label(name, 0))).toEqual(['base', 'base']);
  expect(label('round-2', 0)).toBe('round 2 @0'); // starts from round 1
  expect(label('unknown', 3)).toBe('unknown @3');
});

describe('a training that the plan does not declare', () => {
  test('is shown as a method under its name, after those that are', async () => {
    const directory = roundsRun();
    const plan = JSON.parse(readFileSync(join(directory, 'plan.json'), 'utf8'));
    const { plain, ...trainings } = plan.trainings;
    writeFileSync(join(directory, 'plan.json'), JSON.stringify({ ...plan, trainings }));
    const { rows } = await analysisOf(directory);
    expect(plain.role).toBe('baseline');
    expect(rows.slice(-2).map(({ label, role, kind }) => [label, role, kind])).toEqual([
      ['plain', 'method', 'last'],
      ['plain', 'method', 'best'],
    ]);
  });

  test('is what a run has that wrote no plan', async () => {
    const directory = roundsRun({ trainings: ['plain', 'round-1'] });
    rmSync(join(directory, 'plan.json'));
    const { rows } = await analysisOf(directory);
    expect(rows.map(({ label, role }) => [label, role])).toEqual([
      ['base', 'base'],
      ['plain', 'method'],
      ['plain', 'method'],
      ['round-1', 'method'],
    ]);
  });
});

describe('the model of a run', () => {
  const found = (directory: string) => findResultModel(directory)?.training.name ?? null;

  test('is that of the last method that has finished, else of the last baseline', async () => {
    const directory = roundsRun();
    const remove = (name: string) => rmSync(join(directory, 'models', name), { recursive: true });
    expect(found(directory)).toBe('mixed');
    expect((await readResults(directory)).model).toMatchObject({
      training: { label: 'gold + replay' },
      path: join(directory, 'models', 'mixed'),
    });
    remove('mixed');
    expect(found(directory)).toBe('round-2');
    remove('round-2');
    remove('round-1');
    expect(found(directory)).toBe('plain');
    remove('plain');
    expect(found(directory)).toBe(null); // a control is no result
  });

  test('is what a study reads, also when all models were deleted; a baseline is not pushed in its place', async () => {
    const directory = roundsRun();
    for (const name of ['mixed', 'round-1', 'round-2'])
      rmSync(join(directory, 'models', name), { recursive: true });
    const { error } = await called(['push', directory, 'me/model', '--dry-run']);
    expect(error).toMatchObject({
      message: `${directory} holds the model of gold only, not that of gold + replay`,
      fix: expect.stringContaining(`npx tms push ${join(directory, 'models', 'plain')} me/model`),
    });
    rmSync(join(directory, 'models'), { recursive: true });
    const cell = { config: { output_dir: directory, retention: { max_drop: null } } } as unknown as Cell;
    const point = (await outcomeOf(cell))?.last.point;
    expect([point?.training, point?.target?.mean]).toEqual(['mixed', 37 / 50]);
    expect(point?.change?.mean).toBeCloseTo(-5 / (8 * 12), 12); // 3 and 2 items of eight sets of 12
  });

  test('is that of a control where there is nothing else', async () => {
    const { self } = rounds;
    const trainings = listTrainings(plannedTrainings.parse({ self: self.declared }), []);
    expect(resultTraining(trainings)?.name).toBe('self');
  });

  test('is found where the plan is gone or damaged', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'models', 'mine'), { recursive: true });
    expect(found(directory)).toBe('mine');
    writeFileSync(join(directory, 'plan.json'), '{"trainings":');
    expect(found(directory)).toBe('mine');
    expect(found(join(directory, 'nowhere'))).toBe(null);
  });
});

describe('sets that chose a point', () => {
  const chosenOn = (...sets: string[]) => {
    const directory = roundsRun();
    const plan = JSON.parse(readFileSync(join(directory, 'plan.json'), 'utf8'));
    const methods = { rounds: { trainings: {}, selectionSets: sets }, other: {} };
    writeFileSync(join(directory, 'plan.json'), JSON.stringify({ ...plan, methods }));
    return directory;
  };
  const note = 'Left out everywhere, because a point was chosen on them: next.';

  test('are left out of every mean, of all trainings of the run, and a note says so', async () => {
    const results = await readResults(chosenOn('next'));
    const { rows } = analyse(results);
    const lost = (name: string) =>
      rows.find(row => row.training === name && row.kind === 'last')?.change?.mean;
    expect(lost('mixed')).toBeCloseTo(-2 / (7 * 12), 12); // minus, of seven sets of 12
    expect(lost('plain')).toBeCloseTo(-(6 + 4) / (7 * 12), 12);
    expect(rows.flatMap(({ sets }) => sets.map(({ name }) => name))).not.toContain('next');
    expect(oneLine(finalTable(results))).toContain(note);
  });

  test('are left out of what is held against it, in comparisons and studies', async () => {
    const directories = [roundsRun(), chosenOn('next')];
    const all = await Promise.all(directories.map(readResults));
    const compared = oneLine(comparisonText(compareResults(all)));
    expect(compared).toContain(note);
    expect(compared).toContain('averaged over 7 sets, 84 items');
    const cells = directories.map(output_dir => ({ config: { output_dir, retention: { max_drop: null } } }));
    const outcomes = await outcomesOf(cells as unknown as Cell[]);
    for (const { last, base } of outcomes) {
      expect(last.point.change?.mean).toBeCloseTo(-2 / (7 * 12), 12);
      for (const { sets } of [last.record, base]) expect(sets).toHaveLength(8); // the target, too
    }
    expect(outcomes).toHaveLength(2);
  });
});

describe('pages', () => {
  test('name the lowest temperature, at which the answers were sampled that accuracy counts', async () => {
    const directory = roundsRun();
    const asked = 'eval:\n  temperatures: [1, 0.7]\nretention:\n  temperatures: [0.5]\n';
    appendFileSync(join(directory, 'config.resolved.yaml'), asked);
    expect(finalTable(await readResults(directory))[1]).toMatch(/^ +T=0\.7 +T=1 +Δ retention/);
    const { html, markdown } = await writeReport(directory);
    const texts = [html, markdown].map(file => readFileSync(file, 'utf8'));
    const [page, plain] = texts.map(text => text.replaceAll('retention sets greedy only', '')); // of the environment
    expect(page).toContain('>target accuracy (T=0.7)<');
    expect(page).toContain('>accuracy (T=0.7 or T=0.5)<');
    expect(page).toContain('answers at T=0.7 to 50 target items');
    expect(plain).toContain('| target accuracy: T=0.7 |');
    expect(plain).toContain('50 items, T=0.7; T=1: one sampled answer for each item.');
    expect(`${page}${plain}`).not.toContain('greedy');
  });

  test('show every training in its place with a look of its own', async () => {
    const { html, markdown } = await writeReport(roundsRun());
    const { document } = parseHTML(readFileSync(html, 'utf8'));
    const rows = [...(document.querySelector('table tbody')?.querySelectorAll('tr') ?? [])];
    expect(rows.map(row => row.querySelector('td')?.textContent)).toEqual([
      'base',
      'gold only last, step 60',
      'gold only best, step 30',
      'round 1 last, step 60',
      'round 2 last, step 60',
      'gold + replay last, step 60',
      'own samples last, step 60',
    ]);
    const legend = [
      ...(document.querySelector('#accuracy-retention .legend')?.querySelectorAll('span') ?? []),
    ];
    expect(legend.map(entry => entry.textContent)).toEqual([
      'base',
      ...Object.values(rounds).map(({ declared }) => declared.label),
    ]);
    const colours = legend.map(entry => entry.innerHTML.match(/var\(--mark-\d\)/g)?.join(' '));
    expect(colours).toEqual([
      'var(--mark-0)', // a mark without a line
      ...[1, 2, 3, 4, 5].map(i => `var(--mark-${i}) var(--mark-${i})`),
    ]);
    const panels = (id: string) =>
      [...document.querySelectorAll(`#${id} svg.panel`)].map(panel => panel.getAttribute('aria-label'));
    expect(panels('loss')).toEqual(
      Object.values(rounds).map(({ declared }) => `Training loss of ${declared.label}`),
    );
    expect(panels('curriculum')).toEqual(
      ['round 1', 'round 2', 'gold + replay', 'own samples'].map(label => `Visits of ${label} by target`),
    );
    const text = readFileSync(markdown, 'utf8');
    expect(text).toContain('| round 2, last point (step 60) | 0.700 ');
    expect(text).toContain(
      '| set | role | items | base | gold only | round 1 | round 2 | gold + replay | own samples |',
    );
    expect(`${text}${document.body?.textContent}`).not.toMatch(/\b(SFT|TMS|student|sft)\b/);
  });
});

describe('looks', () => {
  const trainings = listTrainings(
    {},
    Array.from({ length: 17 }, (_, i) => `t${i}`),
  );
  const lookOf = looksOf(trainings);
  const outlineOf = (name: string) => {
    const { symbol, isHollow } = lookOf(name);
    const drawn: string[] = [];
    const note =
      (verb: string) =>
      (...numbers: number[]) =>
        void drawn.push(`${verb} ${numbers.map(number => number.toFixed(3))}`);
    symbol.draw({ moveTo: note('M'), lineTo: note('L'), arc: note('A'), closePath: note('Z') }, 40);
    return `${isHollow} ${drawn}`;
  };

  test('differ in shape for the base and sixteen trainings, in colour for the base and eight', () => {
    const names = ['base', ...trainings.slice(0, 16).map(({ name }) => name)];
    expect(new Set(names.map(outlineOf)).size).toBe(17);
    expect(new Set(names.slice(0, 9).map(name => lookOf(name).colour)).size).toBe(9);
    expect(outlineOf('t16')).toBe(outlineOf('t0'));
  });

  test.each([
    ['light', '#fffefb'],
    ['dark', '#15171a'],
  ] as const)('stand out from %s paper by 3 : 1 or more', (scheme, paper) => {
    expect(pageStyle).toContain(`--paper: ${paper};`);
    for (const colour of palette) expect(contrast(colour[scheme], paper)).toBeGreaterThan(3);
  });

  test('are on the page for light, for dark and for print', () => {
    for (const [i, { light, dark }] of palette.entries()) {
      expect(pageStyle.split(`--mark-${i}: ${light};`)).toHaveLength(3);
      expect(pageStyle.split(`--mark-${i}: ${dark};`)).toHaveLength(2);
    }
  });
});

/** WCAG 2.2, contrast ratio. */
function contrast(one: string, other: string): number {
  const luminance = (colour: string) => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map(at => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [dark = 0, light = 0] = [one, other].map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

describe('a comparison', () => {
  const pairs = async (...directories: string[]) => {
    const { differences } = compareResults(await Promise.all(directories.map(readResults)));
    return differences.map(({ training, against }) => `${training} − ${against}`);
  };
  const tmsRun = () => {
    const directory = temporaryDirectory();
    writeFinishedRun(directory);
    return directory;
  };

  test('of two runs of one method pairs equal trainings', async () => {
    expect(await pairs(roundsRun(), roundsRun())).toEqual(
      Object.keys(rounds).map(name => `${name} − ${name}`),
    );
  });

  test('of different methods pairs the last methods and the last baselines, controls only by label', async () => {
    const directories = [tmsRun(), roundsRun()];
    expect(await pairs(...directories)).toEqual(['plain − sft', 'mixed − student']);
    const text = oneLine(comparisonText(compareResults(await Promise.all(directories.map(readResults)))));
    // 5 wrong of 96 instead of 3, 37 right of 50 instead of 33
    expect(text).toMatch(/B gold \+ replay minus A TMS, last points: retention accuracy −0\.021 \[/);
    expect(text).toMatch(/target accuracy \+0\.080 \[/);
  });

  test('holds a method against the baseline of a run that has no method', async () => {
    const first = roundsRun({ trainings: ['plain'] });
    expect(await pairs(first, tmsRun())).toEqual(['sft − plain', 'student − plain']);
  });

  test('pairs a training of the same label and role before others', async () => {
    const second = tmsRun();
    const file = join(second, 'plan.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"TMS"', '"round 1"'));
    expect(await pairs(roundsRun(), second)).toEqual(['sft − plain', 'student − round-1']);
  });
});
