/** Run directories for tests of the report: small, and shaped after a run of the lab (base e0, `Da:0`, 5e-5 × 48 epochs). */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { below, randomAt, shuffled } from '../../src/data/random.ts';
import {
  type AnswerRecord,
  type EvaluationRecord,
  type ExampleRecord,
  type MetricsLine,
  metricsLine,
  type RunRecord,
  type SetRecord,
  type TimingLine,
  type VisitRecord,
} from '../../src/run/records.ts';

const steps = 912;
const epochs = 48;
const checkpointSteps = Array.from({ length: 10 }, (_, k) => Math.round(((k + 1) * steps) / 10));
const evaluationSteps = [228, 456, 684, 912];
const skills = ['copy', 'reverse', 'sort', 'count', 'sum', 'maximum', 'next', 'minus'];
const itemsOfSkill = 12;
const itemsOfTarget = 50;

/** At the evaluation steps: right target items of 50, wrong items of each skill of 12, PLD, KL. */
export type Shape = {
  readonly target: readonly number[];
  readonly sampled: readonly number[];
  readonly wrong: Readonly<Record<string, readonly number[]>>;
  readonly test: readonly number[];
  readonly train: readonly number[];
  readonly klTarget: readonly number[];
  readonly klRetention: readonly number[];
};

const none = [0, 0, 0, 0];

/** As plan.json declares them. */
const trainings = {
  sft: { label: 'SFT', role: 'baseline', trainsOn: 'gold' },
  student: {
    label: 'TMS',
    role: 'method',
    needs: ['sft'],
    startsFrom: 'base',
    trainsOn: 'a mixture of gold and answers of SFT’s checkpoints',
    goldShare: 0.25,
  },
  control: { label: 'base answers', role: 'control', trainsOn: 'the base’s own answers' },
};

/** Base: 25 of 50 right, no skill wrong. */
export const baseShape: Shape = {
  target: [25],
  sampled: [0.3],
  wrong: {},
  test: [1.88],
  train: [1.9],
  klTarget: [0],
  klRetention: [0],
};

/** Wrong at the end: 0 + 4 + 6 + 2 + 3 + 1 + 8 + 6 = 30 of 96, so Δ retention = −0.3125. */
export const sftShape: Shape = {
  target: [26, 33, 34, 33],
  sampled: [0.5, 0.62, 0.67, 0.68],
  wrong: {
    reverse: [0, 1, 3, 4],
    sort: [1, 2, 5, 6],
    count: [0, 1, 2, 2],
    sum: [0, 1, 2, 3],
    maximum: [0, 0, 1, 1],
    next: [1, 3, 6, 8],
    minus: [0, 2, 4, 6],
  },
  test: [0.175, 0.172, 0.219, 0.288],
  train: [0.152, 0.069, 0.027, 0.009],
  klTarget: [6.9, 7.4, 7.8, 8.0],
  klRetention: [0.4, 1.2, 2.6, 3.7],
};

/** Wrong at the end: 3 of 96, so Δ retention = −0.03125. */
export const studentShape: Shape = {
  target: [25, 29, 31, 33],
  sampled: [0.42, 0.48, 0.51, 0.53],
  wrong: { sort: [1, 1, 1, 1], next: [1, 1, 1, 2], minus: [0, 1, 0, 0] },
  test: [0.181, 0.169, 0.155, 0.156],
  train: [0.16, 0.135, 0.118, 0.11],
  klTarget: [6.2, 6.6, 6.9, 7.0],
  klRetention: [0.35, 0.5, 0.7, 0.84],
};

const controlShape: Shape = {
  target: none.map((_, i) => 24 - i),
  sampled: [0.31, 0.31, 0.32, 0.32],
  wrong: { next: [0, 0, 1, 2], minus: [1, 1, 2, 3] },
  test: [1.86, 1.85, 1.87, 1.9],
  train: [1.88, 1.87, 1.88, 1.9],
  klTarget: [0.4, 0.5, 0.6, 0.62],
  klRetention: [0.3, 0.4, 0.5, 0.56],
};

/** A finished TMS run with its control. */
export function writeFinishedRun(directory: string, name = 'lab-demo'): void {
  writeFacts(directory, { name, status: 'finished' });
  writeEvaluation(directory, 'base', 0, baseShape, 0);
  evaluationSteps.forEach((step, i) => {
    writeEvaluation(directory, 'sft', step, sftShape, i);
    writeEvaluation(directory, 'student', step, studentShape, i);
    writeEvaluation(directory, 'control', step, controlShape, i);
  });
  const stages = ['sft', 'control', 'student'] as const;
  writeLines(directory, 'metrics.jsonl', stages.flatMap(lossesOf));
  writeLines(directory, 'timing.jsonl', timings);
  writeAnswers(directory);
  mkdirSync(join(directory, 'models', 'student'), { recursive: true });
}

/** A run that was interrupted after two evaluations of SFT, while it wrote a line of metrics.jsonl. */
export function writeUnfinishedRun(directory: string): void {
  writeFacts(directory, { name: 'lab-interrupted', status: 'interrupted' });
  writeEvaluation(directory, 'base', 0, baseShape, 0);
  [228, 456].forEach((step, i) => {
    writeEvaluation(directory, 'sft', step, sftShape, i);
  });
  const half = lossesOf('sft').slice(0, 500);
  const text = half.map(line => `${JSON.stringify(line)}\n`).join('');
  writeText(directory, 'metrics.jsonl', `${text}{"training":"sft","st`);
  writeLines(directory, 'timing.jsonl', timings.slice(0, 2));
}

const runFacts = {
  format: 1,
  id: 'r-7f3a',
  tmsVersion: '0.1.0',
  startedAt: '2026-11-24T20:14:03.000Z',
  configDigest: 'c0ffee00',
  baseDigest: 'ba5e0000',
  dataDigest: 'da7a0000',
  evaluationDigests: {},
  methodDigest: null,
  templateDate: '2026-11-24',
} as const;

type Facts = {
  readonly name: string;
  readonly status: 'finished' | 'interrupted';
  readonly method?: string;
  /** Of plan.json. */
  readonly declared?: object;
};

/** Everything but measurements. */
export function writeFacts(
  directory: string,
  { name, status, method = 'tms', declared = trainings }: Facts,
): void {
  const finishedAt = status === 'finished' ? '2026-11-24T20:16:01.000Z' : null;
  const numerics = [{ at: runFacts.startedAt, after: null, values: { 'worker.token_budget': 2048 } }];
  const run: RunRecord = { ...runFacts, method, numerics, status, finishedAt, error: null };
  writeJson(directory, 'run.json', run);
  writeText(directory, 'config.resolved.yaml', configText(name, method));
  writeJson(directory, 'plan.json', { method, trainings: declared, guessed });
  writeJson(directory, 'environment.json', {
    versions: { python: '3.11.7', torch: '2.13.0+cu130', transformers: '5.19.2', peft: '0.21.2' },
    device: 'cpu (AMD EPYC, 2 cores)',
    threads: 1,
    platform: 'linux x64',
    node: '20.20.2',
    determinism: { level: 'strict', threads: '1', sampler: 'strict, cost 1.4×' },
    git: { commit: '3f2c1ab9d04e', isDirty: true },
    notes: ['retention sets greedy only'],
  });
}

function configText(name: string, method: string): string {
  return [
    `method: ${method}`,
    `run_name: ${name}`,
    'output_dir: runs/lab-demo',
    'model_name_or_path: lab/base',
    'use_peft: false',
    'learning_rate: 5e-5',
    'num_train_epochs: 48',
    'seed: 0',
    'tms:',
    '  num_checkpoints: 10',
    '  alpha: 0.25',
    '',
  ].join('\n');
}

const guessed = [
  {
    key: 'learning_rate',
    value: 5e-5,
    why: '1e-4 for 1–1.5B and 5e-5 above in Retaining by Doing (arXiv 2510.18874)',
  },
  {
    key: 'tms.temperature',
    value: 1,
    why: 'exact sampling, so that answers follow the policy of their checkpoint without bias',
  },
  { key: 'tms.unfinished', value: 'gold', why: 'a cut answer must never be learnt as if it were complete' },
  {
    key: 'tms.spacing',
    value: 'linear',
    why: 'equal distances, the last step included, as in Temporal Sampling (arXiv 2505.20196)',
  },
];

const timings: readonly TimingLine[] = [
  { unit: 'load', kind: 'load', training: 'base', seconds: 1.2, tokens: 0 },
  { unit: 'sft/train', kind: 'train', training: 'sft', seconds: 40, tokens: 480_000 },
  { unit: 'sft/evaluate', kind: 'evaluate', training: 'sft', seconds: 6, tokens: 30_000 },
  { unit: 'answers 912', kind: 'answer', training: 'student', seconds: 7, tokens: 60_000 },
  { unit: 'student/train-1', kind: 'train', training: 'student', seconds: 20, tokens: 250_000 },
  { unit: 'student/train-2', kind: 'train', training: 'student', seconds: 20, tokens: 250_000 },
  { unit: 'student/evaluate', kind: 'evaluate', training: 'student', seconds: 6, tokens: 30_000 },
  { unit: 'control/answers', kind: 'answer', training: 'control', seconds: 1, tokens: 6_000 },
  { unit: 'control/train', kind: 'train', training: 'control', seconds: 38, tokens: 470_000 },
  { unit: 'save', kind: 'save', training: 'student', seconds: 0.4, tokens: 0 },
];

export function writeEvaluation(
  directory: string,
  training: string,
  step: number,
  shape: Shape,
  at: number,
): void {
  const name = `${training}-step-${String(step).padStart(6, '0')}`;
  writeJson(directory, `evaluation/${name}.json`, evaluationOf(training, step, shape, at));
}

/** `at`: index of the evaluation in the shape. */
export function evaluationOf(training: string, step: number, shape: Shape, at: number): EvaluationRecord {
  const number = (list: readonly number[]) => list[at] ?? 0;
  const divergence = (nllPerToken: number) => ({
    nllPerToken,
    nllPerSequence: nllPerToken * 9,
    bitsPerByte: nllPerToken / Math.LN2,
    examples: 300,
    tokens: 2700,
  });
  const kl = (perSequence: number, samples: number) => ({
    direction: 'KL(base‖model)' as const,
    perToken: perSequence / 9,
    perSequence,
    samples,
  });
  return {
    training,
    step,
    weightsDigest: `${training}-${step}`,
    sets: [
      setOf('countdown', 'target', number(shape.target), number(shape.sampled), training),
      ...skills.map(skill =>
        setOf(skill, 'retention', itemsOfSkill - number(shape.wrong[skill] ?? none), null, training),
      ),
    ],
    pld: { test: divergence(number(shape.test)), train: divergence(number(shape.train)) },
    kl: { target: kl(number(shape.klTarget), 64), retention: kl(number(shape.klRetention), 128) },
  };
}

/** Items 0, 7, 14, … (modulo their number) are the right ones, for the student 2, 9, 16, …: 7 is coprime to 12 and to 50. */
function setOf(
  name: string,
  role: SetRecord['role'],
  right: number,
  sampledAccuracy: number | null,
  training: string,
): SetRecord {
  const size = role === 'target' ? itemsOfTarget : itemsOfSkill;
  const rightItems = new Set(
    Array.from({ length: right }, (_, i) => (i * 7 + (training === 'student' ? 2 : 0)) % size),
  );
  const items = Array.from({ length: size }, (_, i) => ({
    id: `${name}-${i}`,
    isCorrect: rightItems.has(i),
    answer: rightItems.has(i) ? `right ${i}` : `wrong ${i}`,
  }));
  return {
    name,
    role,
    scorer: 'exact_match',
    scorerVersion: 1,
    accuracy: right / size,
    sampledAccuracy,
    unfinished: 0,
    items,
  };
}

function lossesOf(stage: 'sft' | 'control' | 'student'): MetricsLine[] {
  const random = randomAt(0, `loss of ${stage}`);
  const floor = { sft: 0.01, control: 0.24, student: 0.2 }[stage];
  const time = { sft: 160, control: 60, student: 70 }[stage];
  return Array.from({ length: steps }, (_, i) => {
    const loss = floor + 1.2 * Math.exp(-i / 12) + 0.25 * Math.exp(-i / time) + below(random, 100) / 2500;
    return metricsLine.parse({ training: stage, step: i + 1, loss, learning_rate: 5e-5 });
  });
}

/** Twenty prompts; the last answer to the first one would break a careless page. */
const examples: readonly ExampleRecord[] = Array.from({ length: 20 }, (_, example) => {
  const random = randomAt(example, 'prompts of the fixture');
  const digits = Array.from({ length: 4 }, () => 1 + below(random, 9));
  const gold = [...digits].sort((a, b) => a - b).map((digit, i) => `${i === 2 ? '-' : '+'}${digit}`);
  return {
    example,
    id: `example-${example}`,
    prompt: `D${digits.join('')}>${10 + example}=`,
    gold: gold.join(''),
  };
});

/** An answer that a careless page would execute or load. */
export const hostileAnswer = '</script><script>throw 1</script><img src="https://example.com/x.png">';

function writeAnswers(directory: string): void {
  const visits = Array.from({ length: epochs }, (_, epoch) =>
    examples.map(({ example }) => visitOf(epoch, example)),
  ).flat();
  writeLines(directory, 'examples.jsonl', examples);
  writeLines(directory, 'curriculum.jsonl', visits);
  for (const step of checkpointSteps) {
    const drawn = examples.filter(({ example }) =>
      visits.some(visit => visit.example === example && visit.checkpointStep === step),
    );
    const file = `answers/sft-step-${String(step).padStart(6, '0')}.jsonl`;
    writeLines(
      directory,
      file,
      drawn.map(example => answerOf(example, step)),
    );
  }
}

function visitOf(epoch: number, example: number): VisitRecord {
  const random = randomAt(epoch, 'visits of the fixture', example);
  if (below(random, 4) === 0)
    return {
      training: 'student',
      epoch,
      example,
      source: 'gold',
      answers: null,
      checkpointStep: null,
      sample: null,
      row: 0,
    };
  const checkpointStep = checkpointSteps[below(random, checkpointSteps.length)] ?? steps;
  const source = isCut(example, checkpointStep) ? 'gold-for-unfinished' : 'answer';
  return { training: 'student', epoch, example, source, answers: 'sft', checkpointStep, sample: 0, row: 0 };
}

function answerOf({ example, id, gold }: ExampleRecord, checkpointStep: number): AnswerRecord {
  const random = randomAt(checkpointStep, 'answers of the fixture', example);
  const terms = gold.match(/[+-]\d/g) ?? [];
  const isGold = below(random, steps) < checkpointStep / 2;
  const text = isGold ? gold : shuffled(random, terms).join('');
  return {
    id,
    example,
    checkpointStep,
    sample: 0,
    attempt: 0,
    seed: random(),
    ids: [...text].map(letter => letter.charCodeAt(0)),
    finishReason: isCut(example, checkpointStep) ? 'length' : 'stop',
    text: example === 0 && checkpointStep === steps ? hostileAnswer : text,
  };
}

function isCut(example: number, checkpointStep: number): boolean {
  return (example * 31 + checkpointStep) % 23 === 0;
}

function writeJson(directory: string, name: string, value: unknown): void {
  writeText(directory, name, `${JSON.stringify(value, null, 2)}\n`);
}

export function writeLines(directory: string, name: string, lines: readonly unknown[]): void {
  writeText(directory, name, lines.map(line => `${JSON.stringify(line)}\n`).join(''));
}

function writeText(directory: string, name: string, text: string): void {
  const file = join(directory, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
