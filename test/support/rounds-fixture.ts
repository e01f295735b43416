/**
 * A run of a method that nobody has written: it trains in rounds, each on what the model before it said, beside a baseline, another
 * method and a control. What the report knows of it is in its files alone.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { metricsLine, type VisitRecord } from '../../src/run/records.ts';
import { baseShape, type Shape, writeEvaluation, writeFacts, writeLines } from './run-fixture.ts';

const steps = [30, 60];

/** Sets of twelve items each: how many are wrong at the end. Half the loss of skill at step 30. */
function shapeOf(target: readonly [number, number], wrong: Readonly<Record<string, number>>): Shape {
  const halves = Object.entries(wrong).map(([name, count]) => [name, [Math.floor(count / 2), count]]);
  const lost = Object.values(wrong).reduce((sum, count) => sum + count, 0);
  return {
    target,
    sampled: target.map(right => right / 50 - 0.05),
    wrong: Object.fromEntries(halves),
    test: [0.4, 0.4 - target[1] / 200 + lost / 100],
    train: [0.3, 0.2],
    klTarget: [3, 5],
    klRetention: [lost / 20, lost / 10],
  };
}

/** In the order in which they run, which is not that of their names. */
export const rounds = {
  plain: {
    declared: { label: 'gold only', role: 'baseline', trainsOn: 'gold' },
    shape: shapeOf([36, 34], { sort: 6, next: 8, minus: 4 }),
  },
  'round-1': {
    declared: { label: 'round 1', role: 'method', trainsOn: 'the base’s right answers' },
    shape: shapeOf([27, 30], { sort: 1, next: 2 }),
  },
  'round-2': {
    declared: {
      label: 'round 2',
      role: 'method',
      needs: ['round-1'],
      startsFrom: 'round-1',
      trainsOn: 'right answers of round 1',
    },
    shape: shapeOf([33, 35], { sort: 2, next: 2 }),
  },
  mixed: {
    declared: {
      label: 'gold + replay',
      role: 'method',
      needs: ['round-2'],
      trainsOn: 'gold and answers of round 2',
      goldShare: 0.5,
    },
    shape: shapeOf([34, 37], { next: 3, minus: 2 }),
  },
  self: {
    declared: { label: 'own samples', role: 'control', trainsOn: 'the base’s own answers' },
    shape: shapeOf([25, 23], { sort: 1 }),
  },
} as const;

const names = Object.keys(rounds) as (keyof typeof rounds)[];

/** `trainings`: those that were measured, all of them for a finished run. */
export function writeRounds(
  directory: string,
  { name = 'in-rounds', trainings = names }: { name?: string; trainings?: readonly string[] } = {},
): void {
  const declared = Object.fromEntries(names.map(one => [one, rounds[one].declared]));
  const status = trainings.length === names.length ? 'finished' : 'interrupted';
  writeFacts(directory, { name, status, method: 'rounds', declared });
  writeEvaluation(directory, 'base', 0, baseShape, 0);
  const measured = names.filter(one => trainings.includes(one));
  for (const training of measured)
    steps.forEach((step, at) => {
      writeEvaluation(directory, training, step, rounds[training].shape, at);
    });
  writeLines(directory, 'metrics.jsonl', measured.flatMap(lossesOf));
  writeLines(directory, 'timing.jsonl', measured.flatMap(timingsOf));
  writeLines(directory, 'curriculum.jsonl', visits);
  writeLines(directory, 'examples.jsonl', examples);
  for (const [file, answers] of Object.entries(answersOf))
    writeLines(directory, `answers/${file}.jsonl`, answers);
  for (const training of measured) mkdirSync(join(directory, 'models', training), { recursive: true });
}

function lossesOf(training: string, index: number) {
  return Array.from({ length: 60 }, (_, i) =>
    metricsLine.parse({ training, step: i + 1, loss: 0.1 * (index + 1) + Math.exp(-i / 10) }),
  );
}

/** The n-th training learns 1000 · n tokens in n seconds; those with answers ask for 100 · n tokens in n / 10 seconds. */
function timingsOf(training: keyof typeof rounds) {
  const n = names.indexOf(training) + 1;
  const line = (kind: string, seconds: number, tokens: number) => ({
    unit: `${kind} ${training}`,
    kind,
    training,
    seconds,
    tokens,
  });
  return [...(training === 'plain' ? [] : [line('answer', n / 10, 100 * n)]), line('train', n, 1000 * n)];
}

const examples = [0, 1].map(example => ({
  example,
  id: `e${example}`,
  prompt: `p${example}`,
  gold: `g${example}`,
}));

const answer = (example: number, checkpointStep: number, text: string, finishReason = 'stop') => ({
  id: `e${example}`,
  example,
  checkpointStep,
  sample: 0,
  attempt: 0,
  seed: 7,
  ids: [65],
  finishReason,
  text,
});

/** Round 1 and the control ask the base; round 2 and the mixture ask what stands at the end of a round. */
const answersOf = {
  'round-1/base-step-000000': [answer(0, 0, 'b0'), answer(1, 0, 'b1')],
  'self/base-step-000000': [answer(0, 0, 'b0'), answer(1, 0, 'b1 b1 b1', 'length')],
  'round-2/round-1-step-000060': [answer(0, 60, 'r0'), answer(1, 60, 'r1')],
  'mixed/round-2-step-000030': [answer(0, 30, 's0')],
  'mixed/round-2-step-000060': [answer(0, 60, 't0'), answer(1, 60, 't1 t1', 'length')],
};

const visit = (
  training: string,
  example: number,
  source: VisitRecord['source'],
  by: readonly [string, number] | null,
): VisitRecord => ({
  training,
  epoch: 0,
  example,
  source,
  answers: by?.[0] ?? null,
  checkpointStep: by?.[1] ?? null,
  sample: by === null ? null : 0,
  row: 0,
});

const visits: readonly VisitRecord[] = [
  ...[0, 0, 1].map(example => visit('round-1', example, 'answer', ['base', 0])),
  ...[0, 1, 1].map(example => visit('round-2', example, 'answer', ['round-1', 60])),
  visit('mixed', 0, 'gold', null),
  visit('mixed', 0, 'answer', ['round-2', 30]),
  visit('mixed', 0, 'answer', ['round-2', 60]),
  visit('mixed', 1, 'gold-for-unfinished', ['round-2', 60]),
  visit('self', 0, 'answer', ['base', 0]),
  visit('self', 1, 'unfinished-answer', ['base', 0]),
];
