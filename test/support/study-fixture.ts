/** Outcomes of a study whose numbers can be worked out by hand. */
import type { EvaluationRecord, SetRecord } from '../../src/run/records.ts';
import { analyseStudy, type Study } from '../../src/study/analysis.ts';
import type { Cell } from '../../src/study/cells.ts';
import type { Outcome } from '../../src/study/outcomes.ts';
import { parseStudy } from '../../src/study/study-file.ts';

const items = 100;

function setOf(name: string, role: SetRecord['role'], right: number): SetRecord {
  const results = Array.from({ length: items }, (_, i) => ({
    id: `${i}`,
    isCorrect: i < right,
    answer: null,
  }));
  const accuracy = right / items;
  return {
    name,
    role,
    scorer: 'exact_match',
    scorerVersion: 1,
    accuracy,
    sampledAccuracy: null,
    unfinished: 0,
    items: results,
  };
}

export function recordOf(
  training: string,
  step: number,
  [target, keep]: readonly [number, number],
): EvaluationRecord {
  const sets = [
    setOf('task', 'target', target),
    setOf('keep', 'retention', keep),
    setOf('more', 'retention', keep),
  ];
  const nothing = { test: null, train: null };
  return { training, step, weightsDigest: '', sets, pld: nothing, kl: { target: null, retention: null } };
}

export type Shape = {
  method: string;
  seed: number;
  recipe?: number;
  points: (readonly [number, number])[];
  drift?: number;
  text?: number;
};

/** Right items of 100 of the target and of each of two retention sets, at each point; the base has 40 and 100. */
export function outcomeOf({ method, seed, recipe = 1, points, drift = 0, text }: Shape): Outcome {
  const base = recordOf('base', 0, [40, 100]);
  const cell = {
    id: `${method}-${seed}-${recipe}`,
    method,
    recipe: { learning_rate: recipe },
    replicate: { seed },
    group: '',
    input: '',
    config: { method: 'sft', controls: {} },
  } as unknown as Cell;
  const measured = points.map((point, i) => {
    const record = recordOf('model', i + 1, point);
    const change = {
      mean: (point[1] - 100) / 100,
      interval: { low: 0, high: 0 },
      items: 200,
      sets: 2,
      gained: 0,
      lost: 0,
    };
    const target = { mean: point[0] / 100, interval: { low: 0, high: 1 }, items, sets: 1 };
    const none = {
      sampledTarget: null,
      sets: [],
      pld: record.pld,
      kl: record.kl,
      own: null,
      goldOverlap: null,
      textChange:
        text === undefined ? null : { mean: text, interval: { low: text, high: text }, documents: 9 },
    };
    return { record, point: { training: 'model', step: i + 1, target, change, drift, ...none } };
  });
  const last = measured.at(-1) as Outcome['last'];
  const run = {
    startedAt: '2026-11-27T09:00:00.000Z',
    finishedAt: '2026-11-27T09:01:00.000Z',
    ...{ tmsVersion: '0', baseDigest: 'base', dataDigest: 'data', evaluationDigests: {} },
  } as Outcome['run'];
  return {
    cell,
    base,
    points: measured,
    last,
    bound: 0.1,
    gate: null,
    selectionSets: [],
    trainings: 2,
    stored: 1,
    run,
    environment: null,
  };
}

/** A study of two methods, three seeds and two recipes, as its pages show it. */
export function smallStudy(): Study {
  const seeds = [1, 2, 3];
  const outcomes = seeds.flatMap(seed =>
    [1, 2].flatMap(recipe => [
      outcomeOf({
        method: 'TMS α .5',
        seed,
        recipe,
        points: [
          [50, 97],
          [57 + seed, 90 - 2 * seed],
        ],
        drift: 0.1,
      }),
      outcomeOf({
        method: 'SFT',
        seed,
        recipe,
        points: [
          [52, 90],
          [60 + seed, 80 - 5 * seed * recipe],
        ],
        drift: 0.5,
      }),
    ]),
  );
  const claims = [
    { claim: 'TMS forgets less than SFT', of: 'TMS α .5', against: 'SFT', measure: 'retention', above: 0 },
    {
      claim: 'TMS has the better frontier',
      of: 'TMS α .5',
      against: 'SFT',
      measure: 'retention',
      at: 'matched',
      above: 0,
    },
    { claim: 'drift predicts forgetting', correlation: ['drift', 'forgetting'], over: ['SFT'], above: 0.5 },
  ];
  const methods = [{ name: 'TMS α .5' }, { name: 'SFT' }, { name: 'GRPO' }];
  const file = parseStudy(
    JSON.stringify({ output_dir: 'o', run: 'r', methods, claims, reference: 'SFT', noise_floor: 'SFT' }),
    's',
  );
  const states = outcomes.map(
    ({ cell }, i) =>
      [
        cell,
        { status: i === 5 ? 'failed' : 'finished', note: i === 5 ? 'out of memory' : null, seconds: 60 },
      ] as const,
  );
  return analyseStudy(outcomes, {
    file,
    name: 'A small study',
    command: 'npx tms study s.yaml',
    tmsVersion: '0',
    total: states.length,
    expectations: null,
    states,
  });
}
