/** What a study reads, and what it makes of numbers that are worked out by hand. */
import { describe, expect, test } from 'vitest';
import { analyseStudy } from '../../src/study/analysis.ts';
import { changedInputs } from '../../src/study/cautions.ts';
import { judgeClaim, judgeExpectation, verdictOf } from '../../src/study/claims.ts';
import { demandCases, unmetDemands } from '../../src/study/demands.ts';
import { chosenAt, matchedAt, usualLevels } from '../../src/study/matched.ts';
import { splitSets } from '../../src/study/outcomes.ts';
import { studyMarkdown, studyPage } from '../../src/study/pages.ts';
import { recipesOf } from '../../src/study/quantities.ts';
import { scheduleOf } from '../../src/study/run-study.ts';
import { parseStudy, readExpectations, type StudyFile } from '../../src/study/study-file.ts';
import { outcomeOf, recordOf, type Shape } from '../support/study-fixture.ts';
import { temporaryFile } from '../support/temporary-directory.ts';

const shapes: Shape[] = [
  {
    method: 'A',
    seed: 1,
    points: [
      [50, 90],
      [60, 80],
    ],
    drift: 0.4,
  },
  {
    method: 'A',
    seed: 2,
    points: [
      [50, 90],
      [60, 70],
    ],
    drift: 0.5,
  },
  {
    method: 'A',
    seed: 3,
    points: [
      [50, 90],
      [60, 75],
    ],
    drift: 0.6,
  },
  {
    method: 'B',
    seed: 1,
    points: [
      [50, 95],
      [58, 95],
    ],
    drift: 0.1,
  },
  {
    method: 'B',
    seed: 2,
    points: [
      [50, 95],
      [58, 88],
    ],
    drift: 0.1,
  },
  {
    method: 'B',
    seed: 3,
    points: [
      [50, 95],
      [58, 91],
    ],
    drift: 0.1,
  },
];
const outcomes = shapes.map(outcomeOf);

const text = (more: object = {}) =>
  JSON.stringify({ output_dir: 'o', run: 'r.yaml', methods: [{ name: 'A' }, { name: 'B' }], ...more });
const file = (more: object = {}): StudyFile => parseStudy(text(more), 'study.yaml');
const claimOf = (claim: object) =>
  file({ claims: [{ claim: 'c', of: 'B', measure: 'retention', ...claim }] })
    .claims[0] as StudyFile['claims'][number];

/** The lines of a refusal behind its heading. */
function problemsIn(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    return (error as Error).message
      .split('\n')
      .slice(1)
      .map(line => line.trim());
  }
  return [];
}

describe('a study file', () => {
  test('is refused with every problem of its form, its line, and what was meant', () => {
    const wrong = `output_dir: 3
method: []
methods:
  - { nme: A }
  - { name: B, set: { x: 1 }, grid: { learning_rate: 1e-5 } }
jobs: "2"
gpus: [-1]
match: [2]
claims:
  - { claim: c, of: A, aginst: B, measure: retension, above: 0 }
  - { claim: d, correlation: [drift, forgeting], over: [] }
`;
    expect(problemsIn(() => parseStudy(wrong, 's.yaml'))).toEqual([
      'run: found nothing, expected a text — this key is required',
      'line 1, output_dir: found 3, expected a text',
      'line 2, method: found an unknown key, expected a key of docs/study.md — did you mean methods?',
      'line 4, methods.0.name: found nothing, expected a text — this key is required',
      'line 4, methods.0.nme: found an unknown key, expected a key of docs/study.md — did you mean name?',
      'line 5, methods.1.grid.learning_rate: found 0.00001, expected a list',
      'line 6, jobs: found "2", expected a number — remove the quotes',
      'line 7, gpus.0: found -1, expected at least 0',
      'line 8, match.0: found 2, expected at most 1',
      'line 10, claims.0.measure: found "retension", expected one of target, sampled_target, retention, pld, drift, kl_target, kl_retention, text_loss, kl_model_target, kl_model_retention, entropy_target, entropy_retention, distinct_target, distinct_retention, gold_overlap — did you mean retention?',
      'line 10, claims.0.aginst: found an unknown key, expected a key of docs/study.md — did you mean against?',
      'line 11, claims.1.correlation.1: found "forgeting", expected "forgetting" — did you mean forgetting?',
      'line 11, claims.1.over: found [], expected at least 1 entries',
    ]);
    expect(problemsIn(() => file({ grid: 3 }))).toEqual([
      'line 1, grid: found 3, expected a block of keys or a list',
    ]);
  });

  test('is refused with everything that says less than its author believes', () => {
    const wrong = `output_dir: o
run: r
methods: [{ name: SFT }, { name: TMS }, { name: SFT, grid: [{ learning_rate: 1 }, { learning_rate: 1 }] }]
grid: { learning_rate: [1, 2] }
replicates: { seed: [0, 1, 0] }
reference: SFTT
noise_floor: sft
claims:
  - { claim: a, of: SFT, against: TSM, measure: drift }
  - { claim: b, of: SFT, against: SFT, measure: drift, above: 0, below: 1 }
  - { claim: c, of: SFT, times: 3, measure: drift, within: [2, 1] }
  - { claim: d, of: TMS, measure: drift, above: 0, where: { learning_rate: 3 } }
  - { claim: e, of: TMS, measure: drift, above: 0, where: { learning_rate: 2 }, at: matched }
  - { claim: f, of: TMS, measure: drift, above: 0, where: { learning_rate: 2 } }
  - { claim: g, correlation: [drift, forgetting], over: [TMS, GRPO], above: 0 }
`;
    const method = 'the name of a method of the study: SFT, TMS, SFT';
    expect(problemsIn(() => parseStudy(wrong, 's.yaml'))).toEqual([
      'line 3, methods.2.name: found "SFT", expected a name that no other method has',
      'line 3, methods.2.grid.1: found {"learning_rate":1}, expected each value once',
      'line 5, replicates.seed.2: found 0, expected each value once',
      `line 6, reference: found "SFTT", expected ${method} — did you mean SFT?`,
      `line 7, noise_floor: found "sft", expected ${method} — did you mean SFT?`,
      'line 9, claims.0: found 0 of above, below and within, expected exactly one of them',
      `line 9, claims.0.against: found "TSM", expected ${method} — did you mean TMS?`,
      'line 10, claims.1: found 2 of above, below and within, expected exactly one of them',
      'line 10, claims.1.against: found "SFT", expected another method than of',
      'line 11, claims.2.within: found [2,1], expected the smaller number first',
      'line 11, claims.2.times: found 3, expected nothing, because there is no against',
      'line 12, claims.3.where: found {"learning_rate":3}, expected keys and values of a recipe of TMS, such as {"learning_rate":1}',
      'line 13, claims.4.where: found {"learning_rate":2}, expected nothing, because at: matched chooses among all recipes',
      `line 15, claims.6.over.1: found "GRPO", expected ${method}`,
    ]);
  });

  test('of expectations is held against the study', () => {
    const expectations = [
      { expect: 'x', of: 'GRPO', measure: 'drift', above: 0 },
      { expect: 'y', of: 'A', measure: 'drift', where: { seed: 1 }, above: 0 },
    ];
    const bad = temporaryFile('e.yaml', JSON.stringify({ expectations }));
    expect(problemsIn(() => readExpectations(bad, file()))).toEqual([
      'line 1, expectations.0.of: found "GRPO", expected the name of a method of the study: A, B',
      'line 1, expectations.1.where: found {"seed":1}, expected keys and values of a recipe of A, such as {}',
    ]);
  });
});

describe('the order of cells', () => {
  const cells = ['a1', 'a2', 'a3', 'b1'].map(id => ({ id, group: id.slice(0, 1) }));

  test('lets one of a group go first, and the others when it has ended', () => {
    const schedule = scheduleOf(cells);
    expect([schedule.next()?.id, schedule.next()?.id, schedule.next()?.id]).toEqual(['a1', 'b1', undefined]);
    schedule.end({ group: 'b' });
    expect(schedule.next()).toBeUndefined();
    schedule.end({ group: 'a' });
    expect([schedule.next()?.id, schedule.next()?.id, schedule.left()]).toEqual(['a2', 'a3', 0]);
  });
});

describe('claims', () => {
  test.each([
    [{ low: 0.1, high: 0.2 }, { above: 0 }, 'holds'],
    [{ low: -0.1, high: 0.2 }, { above: 0 }, 'below noise'],
    [{ low: -0.2, high: -0.1 }, { above: 0 }, 'does not hold'],
    [{ low: -0.2, high: -0.1 }, { below: 0 }, 'holds'],
    [{ low: -0.04, high: 0.04 }, { within: [-0.05, 0.05] }, 'holds'],
    [{ low: -0.06, high: 0.04 }, { within: [-0.05, 0.05] }, 'below noise'],
    [{ low: 0.06, high: 0.1 }, { within: [-0.05, 0.05] }, 'does not hold'],
    [null, { above: 0 }, 'below noise'],
  ] as const)('of %j asked %j: %s', (interval, direction, verdict) => {
    const asked = { above: null, below: null, within: null, ...direction } as Parameters<typeof verdictOf>[1];
    expect(verdictOf(interval, asked)).toBe(verdict);
  });

  test('at the end of equal recipes: differences .15, .18 and .16; two sets of 100 items are wider than t', () => {
    const judged = judgeClaim(claimOf({ against: 'A', above: 0 }), outcomes, []);
    const [evidence] = judged.evidence;
    expect(evidence?.values.map(value => Number(value.toFixed(6)))).toEqual([0.15, 0.18, 0.16]);
    expect(evidence?.mean).toBeCloseTo(0.49 / 3, 12);
    // t: sd .015275, ± 4.303 · .015275 / √3 = .0379. By a grid of the likelihood 32.67 gained of 200 is [.1185, .2209].
    expect(evidence?.interval?.low).toBeCloseTo(0.1185, 3);
    expect(evidence?.interval?.high).toBeCloseTo(0.2209, 3);
    expect(judged).toMatchObject({
      verdict: 'holds',
      asked: expect.stringContaining('retention of B minus that of A'),
    });
  });

  test('are below noise with one replicate, whatever its items show', () => {
    const one = outcomes.filter(({ cell }) => cell.replicate.seed === 2);
    const judged = judgeClaim(claimOf({ against: 'A', above: 0 }), one, []);
    expect(judged.evidence[0]).toMatchObject({ values: [expect.closeTo(0.18, 6)], verdict: 'below noise' });
    expect(judged.evidence[0]?.interval?.low).toBeGreaterThan(0);
  });

  test('have intervals that end where accuracies do: two replicates of −.2 and −.5 lose at most everything', () => {
    const two = [
      outcomeOf({ method: 'B', seed: 1, points: [[58, 80]] }),
      outcomeOf({ method: 'B', seed: 2, points: [[58, 50]] }),
    ];
    const [evidence] = judgeClaim(claimOf({ below: 0 }), two, []).evidence;
    expect(evidence?.interval).toEqual({ low: -1, high: 1 }); // t of one degree: 12.7 · .15
    const target = judgeClaim(
      claimOf({ measure: 'target', above: 0.5 }),
      [two[0], outcomeOf({ method: 'B', seed: 2, points: [[98, 50]] })] as typeof two,
      [],
    );
    expect(target.evidence[0]?.interval).toEqual({ low: 0, high: 1 });
  });

  test('of a number without items: drift of A minus three times that of B is .1, .2 and .3', () => {
    const claim = claimOf({ of: 'A', against: 'B', times: 3, measure: 'drift', above: 0 });
    const [evidence] = judgeClaim(claim, outcomes, []).evidence;
    expect(evidence?.values.map(value => Number(value.toFixed(6)))).toEqual([0.1, 0.2, 0.3]);
    expect(evidence?.interval?.low).toBeCloseTo(0.2 - 4.303 * (0.1 / Math.sqrt(3)), 3);
    expect(evidence?.verdict).toBe('below noise');
  });

  test('of replicates that cross bases and seeds are judged over bases: −.1, −.1, −.3, −.3 shows nothing', () => {
    const crossed = [
      ['a', 1, 90],
      ['a', 2, 90],
      ['b', 1, 70],
      ['b', 2, 70],
    ].map(([base, seed, right]) => {
      const made = outcomeOf({ method: 'B', seed: Number(seed), points: [[58, Number(right)]] });
      const replicate = { model_name_or_path: base, seed };
      return { ...made, cell: { ...made.cell, replicate } } as typeof made;
    });
    const [evidence] = judgeClaim(claimOf({ below: 0 }), crossed, []).evidence;
    // Means of bases −.1 and −.3: ± 12.706 · .1, cut at −1. Four independent ones: ± 3.182 · .0577.
    expect(evidence?.interval).toEqual({ low: -1, high: 1 });
    expect(evidence?.verdict).toBe('below noise');
    const each = judgeClaim(
      claimOf({ below: 0 }),
      crossed.map((one, i) => ({ ...one, cell: { ...one.cell, replicate: { seed: i } } })),
      [],
    );
    expect(each.evidence[0]?.interval?.high).toBeCloseTo(-0.2 + 3.182 * 0.057735, 3);
    const page = studyMarkdown(
      analyseStudy(crossed, {
        ...{ file: file(), name: 's', command: '', tmsVersion: '0', expectations: null, total: 4 },
        states: crossed.map(({ cell }) => [cell, { status: 'finished', note: null, seconds: 1 }] as const),
      }),
    );
    expect(page).toContain(
      't is not over all 4: it is the outer one of t over the means at the 2 of model_name_or_path and at the 2 of seed.',
    );
  });

  test('of text: B is .05 and .1 bits a byte less surprised than A, ± 12.706 · .025', () => {
    const at = (method: string, seed: number, text: number) =>
      outcomeOf({ method, seed, points: [[50, 90]], text });
    const four = [at('A', 1, 0.1), at('A', 2, 0.2), at('B', 1, 0.05), at('B', 2, 0.1)];
    const claim = claimOf({ of: 'B', against: 'A', measure: 'text_loss', below: 0 });
    const [evidence] = judgeClaim(claim, four, []).evidence;
    expect(evidence?.values.map(value => Number(value.toFixed(6)))).toEqual([-0.05, -0.1]);
    expect(evidence?.mean).toBeCloseTo(-0.075, 12);
    expect(evidence?.interval?.high).toBeCloseTo(-0.075 + 12.706 * 0.025, 3);
  });

  test('hold a recipe of a grid of its own against those that agree with it in the keys which both have', () => {
    const recipeOf = (recipe: object, method: string) => {
      const made = outcomeOf({ method, seed: 1, points: [[50, 90]] });
      return { ...made, cell: { ...made.cell, recipe } } as typeof made;
    };
    const all = [
      recipeOf({ name: 'rl', learning_rate: 2 }, 'B'),
      recipeOf({ name: 'short', learning_rate: 1, epochs: 5 }, 'A'),
      recipeOf({ name: 'long', learning_rate: 2, epochs: 9 }, 'A'),
    ];
    const judged = judgeClaim(claimOf({ against: 'A', above: 0 }), all, []);
    expect(judged.evidence.map(({ at, mean }) => [at, mean])).toEqual([['rl against long', 0]]);
  });

  test('fail as a whole where one recipe surely goes the other way, and say when nothing was measured', () => {
    const other = [1, 2, 3].flatMap(seed => [
      outcomeOf({ method: 'A', seed, recipe: 2, points: [[60, 95]] }),
      outcomeOf({ method: 'B', seed, recipe: 2, points: [[60, 50 + seed]] }),
    ]);
    const claim = claimOf({ against: 'A', above: 0 });
    const judged = judgeClaim(claim, [...outcomes, ...other], []);
    expect(judged.evidence.map(({ at, verdict }) => [at, verdict])).toEqual([
      ['learning_rate 1', 'holds'],
      ['learning_rate 2', 'does not hold'],
    ]);
    expect(judged.verdict).toBe('does not hold');
    expect(judgeClaim(claim, [], []).verdict).toBe('not measured');
    const asked = { ...claim, where: { learning_rate: 1 } } as typeof claim;
    expect(judgeClaim(asked, [...outcomes, ...other], []).verdict).toBe('holds');
  });

  test('of a correlation: drift and forgetting of all six last points, Pearson .927', () => {
    const claim = { claim: 'c', correlation: ['drift', 'forgetting'], over: ['A', 'B'], above: 0.5 };
    const [read] = file({ claims: [claim] }).claims;
    const judged = judgeClaim(read as StudyFile['claims'][number], outcomes, []);
    // drift .4 .5 .6 .1 .1 .1, forgetting .2 .3 .25 .05 .12 .09
    expect(judged.evidence[0]?.mean).toBeCloseTo(0.927, 3);
    expect(judged.evidence[0]?.at).toBe('last points of all cells (6)');
    expect(judged.note).toContain('not independent');
  });

  test('of a correlation does not hold where it is that of two groups alone', () => {
    // Within A and within B less is forgotten with more drift (r = −1); over both r is near 1.
    const apart = [0, 1, 2, 3].flatMap(i => [
      { method: 'A', seed: i, points: [[50, 88 + i] as const], drift: 0.1 + i / 100 },
      { method: 'B', seed: i, points: [[50, 48 + i] as const], drift: 0.9 + i / 100 },
    ]);
    const claim = { claim: 'c', correlation: ['drift', 'forgetting'], over: ['A', 'B'], above: 0.5 };
    const [read] = file({ claims: [claim] }).claims;
    const judged = judgeClaim(read as StudyFile['claims'][number], apart.map(outcomeOf), []);
    expect(judged.evidence.map(({ verdict }) => verdict)).toEqual([
      'holds',
      'does not hold',
      'does not hold',
    ]);
    expect(judged.verdict).toBe('does not hold');
  });

  test('of retention are not measured where more than a tenth of the answers have no end; others are', () => {
    const endless = (unfinished: number) =>
      outcomes.map((one, i) => {
        const sets = one.last.record.sets.map(set => (set.name === 'keep' ? { ...set, unfinished } : set));
        const last = { ...one.last, record: { ...one.last.record, sets } };
        return i === 4 ? { ...one, last, points: [...one.points.slice(0, -1), last] } : one;
      });
    const of = (unfinished: number, claim: object) =>
      judgeClaim(claimOf(claim), endless(unfinished), []).verdict;
    const retention = { against: 'A', above: 0 };
    expect([of(10, retention), of(11, retention)]).toEqual(['holds', 'not measured']);
    expect(of(11, { of: 'A', below: -0.01 })).toBe('holds'); // B alone runs on
    expect(of(11, { against: 'A', measure: 'drift', below: 0 })).toBe('holds');
    // A base that runs on is in every Δ against it, and cancels in a difference of two models.
    const based = outcomes.map(one => ({
      ...one,
      base: { ...one.base, sets: one.base.sets.map(set => ({ ...set, unfinished: 11 })) },
    }));
    const ofBased = (claim: object) => judgeClaim(claimOf(claim), based, []).verdict;
    expect([ofBased({ of: 'A', below: -0.01 }), ofBased(retention)]).toEqual(['not measured', 'holds']);
    expect(ofBased({ of: 'A', against: 'B', times: 3, below: 9 })).toBe('not measured');
    const written = { claim: 'c', correlation: ['drift', 'forgetting'], over: ['A', 'B'], above: 0.5 };
    const [correlation] = file({ claims: [written] }).claims;
    const { evidence } = judgeClaim(correlation as StudyFile['claims'][number], endless(11), []);
    expect(evidence[0]?.at).toBe('last points of all cells (5)');
    const expected = { expect: 'e', of: 'B', against: 'A', measure: 'retention', above: 0 };
    const [one] = readExpectations(
      temporaryFile('e.yaml', JSON.stringify({ expectations: [expected] })),
      file(),
    );
    const judged = judgeExpectation(one as Parameters<typeof judgeExpectation>[0], endless(11), []);
    expect(judged).toMatchObject({ isMet: false, found: expect.stringContaining('not measured, because') });
    const page = studyMarkdown(
      analyseStudy(endless(11), {
        ...{ file: file(), name: 's', command: '', tmsVersion: '0', expectations: null, total: 6 },
        states: endless(11).map(
          ({ cell }) => [cell, { status: 'finished', note: null, seconds: 1 }] as const,
        ),
      }),
    );
    expect(page).toContain(
      'Caution: too many answers to keep have no end, of the base or of the model of B, learning_rate 1, seed 2:',
    );
    expect(page).toMatch(/\| B \| learning_rate 1 \| 3 \| \+0\.163 \[[^\]]*\] \? \|/);
    expect(page).toContain('| B | learning_rate 1 | +0.163 ? | +0.163 * |');
    expect(page).toMatch(/\| B, learning_rate 1, seed 2 \| finished \| 0\.580 \| −0\.120 \? \|/);
  });

  test('takes recipes with one name for two', () => {
    const named = shapes.flatMap(shape =>
      [1, 2].map(recipe => {
        const made = outcomeOf({ ...shape, recipe });
        return { ...made, cell: { ...made.cell, recipe: { name: 'r', ...made.cell.recipe } } };
      }),
    );
    expect(recipesOf(named)).toEqual([
      { name: 'r', learning_rate: 1 },
      { name: 'r', learning_rate: 2 },
    ]);
  });
});

describe('expectations', () => {
  const of = (more: object) => {
    const written = { expect: 'e', of: 'B', against: 'A', measure: 'retention', ...more };
    const path = temporaryFile('e.yaml', JSON.stringify({ expectations: [written] }));
    const [one] = readExpectations(path, file());
    return judgeExpectation(one as Parameters<typeof judgeExpectation>[0], outcomes, []);
  };

  test('are of the mean, and of each replicate with its slack', () => {
    expect(of({ above: 0.16 }).isMet).toBe(true);
    expect(of({ above: 0.164 }).isMet).toBe(false);
    expect(of({ above: 0.16, slack: 0.02 }).isMet).toBe(true); // .15 misses by .01
    expect(of({ above: 0.16, slack: 0.005 }).isMet).toBe(false);
    expect(of({ within: [0.1, 0.2] }).found).toBe('learning_rate 1: 0.163 (0.150, 0.180, 0.160)');
  });

  test('are not met where nothing was measured', () => {
    expect(of({ measure: 'pld', above: -9 })).toMatchObject({ isMet: false, found: 'not measured' });
  });
});

describe('equal target accuracy', () => {
  test('splits items into two halves that have none in common, the same for every model', () => {
    const record = recordOf('x', 1, [50, 90]);
    const of = (split: 'selection' | 'test') =>
      splitSets(record, 'target', split).flatMap(set => set.items.map(({ id }) => id));
    const [chosen, read] = [of('selection'), of('test')];
    expect([...chosen, ...read].toSorted()).toEqual(record.sets[0]?.items.map(({ id }) => id).toSorted());
    expect(Math.abs(chosen.length - 50)).toBeLessThan(15);
  });

  test('takes of all points that reach it the one that keeps most, and compares where both reach it', () => {
    // Whoever is right on the first 50 or 60 items is right on about as many of each half.
    expect(chosenAt(outcomes, 'A', 0.45).reached.map(({ point }) => point.step)).toEqual([1, 1, 1]);
    const { rows } = matchedAt(outcomes, 0.45, { methods: ['A', 'B'], reference: 'A' });
    expect(rows.map(({ method, reached, replicates }) => [method, reached, replicates])).toEqual([
      ['A', 3, 3],
      ['B', 3, 3],
    ]);
    expect(rows[1]?.difference?.mean).toBeCloseTo(0.05, 1);
    expect(rows[1]?.difference?.values).toHaveLength(3);
    const late = outcomeOf({
      method: 'C',
      seed: 1,
      points: [
        [50, 80],
        [60, 95],
        [60, 95],
      ],
    });
    expect(chosenAt([late], 'C', 0.45).reached.map(({ point }) => point.step)).toEqual([2]);
    expect(matchedAt(outcomes, 0.9, { methods: ['A'], reference: 'A' }).rows[0]).toMatchObject({
      reached: 0,
      retention: null,
    });
  });

  test('is looked at from the base on, as far as some method gets', () => {
    // Of the 52 items of the selection half the base has 42 % right, A 60 % at most, B 56 %.
    expect(usualLevels(outcomes)).toEqual([0.45, 0.5, 0.55]);
  });
});

describe('cells that were run before an input changed', () => {
  const at = (of: (typeof outcomes)[number], { config = {}, ...run }: Record<string, unknown>) => ({
    ...of,
    cell: { ...of.cell, config: { ...of.cell.config, ...(config as object) } },
    run: { ...of.run, ...run },
  });
  const [a, , , b] = outcomes as [(typeof outcomes)[number], unknown, unknown, (typeof outcomes)[number]];
  const later = { startedAt: '2026-11-28T09:00:00.000Z' };
  const set = 'evaluation set keep (k.jsonl)';

  test.each([
    ['the base model', { baseDigest: 'other' }],
    ['the data', { dataDigest: 'other' }],
    [set, { evaluationDigests: { [set]: 'other' } }],
    ['the version of tms', { tmsVersion: '0.2.0' }],
  ])('are named with %s', (what, changed) => {
    const before = at(a, { evaluationDigests: { [set]: 'one' } });
    const after = at(b, { evaluationDigests: { [set]: 'one' }, ...later, ...changed });
    const found = changedInputs([after, before]);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`${what} changed after A, learning_rate 1, seed 1 had been run`);
    expect(changedInputs([before, at(b, { ...before.run, ...later })])).toEqual([]);
  });

  test('are not those that say something else: a base, data, or further data of their own', () => {
    const of = (config: object, run: object) => changedInputs([a, at(b, { ...later, config, ...run })]);
    expect(of({ model_name_or_path: 'b' }, { baseDigest: 'other', dataDigest: 'other' })).toEqual([]);
    expect(of({ dataset_name: 'd' }, { dataDigest: 'other' })).toEqual([]);
    const replay = { dataset_name: 'more.jsonl', columns: {}, max_samples: null };
    expect(of({ method: 'replay', replay }, { dataDigest: 'other' })).toEqual([]);
    // Seeds split the data, unless it names what is held out.
    const seeds = (more: object) =>
      changedInputs([
        at(a, { config: { seed: 1, dataset_test_split: null, ...more } }),
        at(b, { ...later, dataDigest: 'other', config: { seed: 2, dataset_test_split: null, ...more } }),
      ]);
    expect(seeds({ dataset_test_name: null })).toEqual([]);
    expect(seeds({ dataset_test_name: 't.jsonl' })).toHaveLength(1);
  });

  test('are not compared where their items are others, and the page says what changed', () => {
    const renamed = (record: typeof b.base) => ({
      ...record,
      sets: record.sets.map(one => ({
        ...one,
        items: one.items.map(item => ({ ...item, id: `new ${item.id}` })),
      })),
    });
    const points = b.points.map(({ point, record }) => ({ point, record: renamed(record) }));
    const last = points.at(-1) as typeof b.last;
    const changed = at({ ...b, base: renamed(b.base), points, last }, { ...later, dataDigest: 'other' });
    expect(judgeClaim(claimOf({ against: 'A', above: 0 }), [a, changed], []).verdict).toBe('not measured');
    const page = studyMarkdown(
      analyseStudy([a, changed], {
        ...{
          file: file({ match: [0.5] }),
          name: 's',
          command: '',
          tmsVersion: '0',
          expectations: null,
          total: 2,
        },
        states: [a, changed].map(
          ({ cell }) => [cell, { status: 'finished', note: null, seconds: 1 }] as const,
        ),
      }),
    );
    expect(page).toContain('- Caution: the data changed after A, learning_rate 1, seed 1 had been run');
  });
});

describe('the pages of a study', () => {
  const claims = [{ claim: '<b>B</b> keeps more', of: 'B', against: 'A', measure: 'retention', above: 0 }];
  const facts = {
    file: file({ claims }),
    name: 'a study',
    command: 'npx tms study s.yaml',
    tmsVersion: '0',
    expectations: null,
    total: 7,
    states: outcomes.map(
      ({ cell }, i) =>
        [
          cell,
          { status: i === 5 ? 'failed' : 'finished', note: i === 5 ? 'why' : null, seconds: 60 },
        ] as const,
    ),
  };
  const study = analyseStudy(outcomes, facts as unknown as Parameters<typeof analyseStudy>[1]);

  test('go with demands: a gate that fails is named with its sets, and every check of every gate is a case', () => {
    const of = (outcome: 'passed' | 'failed') => ({
      checks: [null, 'keep', 'more'].map(set => ({
        set,
        change: null,
        outcome: set === 'more' ? 'passed' : outcome,
      })),
      ...{ maxDrop: 0.1, training: 'model', label: 'A @2', outcome },
    });
    const gated = outcomes.map((one, i) => ({
      ...one,
      gate: i > 1 ? null : of(i === 0 ? 'failed' : 'passed'),
    }));
    const found = analyseStudy(
      gated as typeof outcomes,
      { ...facts, expectations: [] } as unknown as Parameters<typeof analyseStudy>[1],
    );
    expect(unmetDemands(found)).toEqual([
      'A-1-1 dropped by more than retention.max_drop 0.1: the mean over all sets –, keep –',
    ]);
    expect(demandCases(found).map(({ name, state }) => [name, state])).toEqual([
      ['A-1-1, A @2: mean over all sets', 'failed'],
      ['A-1-1, A @2: keep', 'failed'],
      ['A-1-1, A @2: more', 'passed'],
      ['A-2-1, A @2: mean over all sets', 'passed'],
      ['A-2-1, A @2: keep', 'passed'],
      ['A-2-1, A @2: more', 'passed'],
    ]);
    expect([unmetDemands(study), demandCases(study)]).toEqual([[], []]);
  });

  test('say that a part is missing, and have every number once', () => {
    const page = studyMarkdown(study);
    expect(page).toContain(
      'This is a part of the study: 5 of its 7 cells have finished (6 were chosen by --only), 1 failed.',
    );
    expect(page).toContain('Of 12 trainings 6 came from the store');
    expect(page).toMatch(/\| A \| learning_rate 1 \| 3 \| 0\.600 \[/);
    expect(page).toMatch(/\| B \| learning_rate 1 \| 3 \| \+0\.163 \[/);
    expect(page).toContain('+0.150, +0.180, +0.160');
    expect(page).not.toContain('<b>');
  });

  test('name sets with Holm, and draw every replicate', () => {
    const [row] = study.differences;
    // Each set alone gains 15, 18 and 16 of 100 items: p of t .0029, of the items 6e-5; twice that by Holm.
    expect(row?.sets.map(({ name, adjusted }) => [name, Number(adjusted.toFixed(4))])).toEqual([
      ['keep', 0.0058],
      ['more', 0.0058],
    ]);
    expect(studyMarkdown(study)).toContain('| B | learning_rate 1 | +0.163 * | +0.163 * |');
    expect(studyMarkdown(study)).toContain('learning_rate 1 @1 (3×)');
    const html = studyPage(study);
    expect(html).toContain('&lt;b&gt;B&lt;/b&gt; keeps more');
    expect(html).toMatch(/<title>[^<]*A, learning_rate 1, seed 2/);
  });
});
