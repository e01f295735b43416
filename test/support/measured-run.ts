/**
 * A run that measures, and its measures by hand. The toy is a table: the logits of the next token are the row of the token before it, so
 * every log-probability is a log-softmax of a row.
 */
import { type Asked, askedIn } from './recorded-calls.ts';
import { type RecordedRun, readRecord, recordRun, type Settings, writeRows } from './recorded-run.ts';
import { endId, idsOf, textOf } from './reference.ts';
import { examples, smallFacts, smallRun, type Trainings, trainingsOf } from './small-run.ts';
import { newBigram } from './toy/bigram.ts';

const vocabulary = 101;

export const keep = [
  { prompt: 'keep x', answer: 'ba' },
  { prompt: 'keep y', answer: 'ab' },
  { prompt: 'keep b', answer: 'bb' },
];
export const choices = [
  { question: 'which x', options: ['a', 'b'], right: 0 },
  { question: 'which y', options: ['ab', 'ba', 'zz'], right: 1 },
];

/** Evaluates a target set at two temperatures, a retained one and one of options at the base and three points of each training. */
const settingsIn = (folder: string): Settings => ({
  lr_scheduler_type: 'linear',
  eval_points: 4,
  eval: {
    temperatures: [0, 1],
    sets: [
      {
        name: 'say',
        path: writeRows(folder, 'say.jsonl', examples),
        columns: { answer: 'completion' },
        limit: 6,
        max_new_tokens: 5,
      },
    ],
  },
  retention: {
    sets: [
      { name: 'keep', path: writeRows(folder, 'keep.jsonl', keep), max_new_tokens: 4 },
      {
        name: 'choose',
        path: writeRows(folder, 'choose.jsonl', choices),
        scorer: 'multiple_choice',
        columns: { prompt: 'question', choices: 'options', answer: 'right' },
      },
    ],
  },
  pld: { size: 3 },
  kl: { size: 2 },
});

export type Measured = {
  readonly run: RecordedRun;
  readonly trainings: Trainings;
  readonly tables: Tables;
  /** The last evaluation of each model. */
  // biome-ignore lint/suspicious/noExplicitAny: files are asserted by value, whatever they hold
  readonly found: Record<keyof Tables, any>;
};

/** Run once; tests of a file share it. */
export async function measuredRun(folder: string): Promise<Measured> {
  const run = await recordRun(folder, smallRun(folder, settingsIn(folder)));
  const of = (name: string) => readRecord(run.output, 'evaluation', `${name}.json`);
  const found = {
    base: of('base-step-000000'),
    sft: of('sft-step-000009'),
    student: of('student-step-000009'),
  };
  return { run, found, tables: tablesIn(run.output), trainings: trainingsOf(run, smallFacts) };
}

/** The table of the base, of the last SFT model, of the student. */
export type Tables = {
  readonly base: Float32Array;
  readonly sft: Float32Array;
  readonly student: Float32Array;
};

function tablesIn(output: string): Tables {
  const of = (model: string) => {
    const content = readRecord(output, 'models', model, 'toy-model.json');
    return new Float32Array(new Uint8Array(Buffer.from(content.weights, 'base64')).buffer);
  };
  return { base: newBigram(1).weights, sft: of('sft'), student: of('student') };
}

/** log p(next | previous), in double precision. */
function logprob(table: Float32Array, previous: number, next: number): number {
  const row = [...table.subarray(previous * vocabulary, (previous + 1) * vocabulary)];
  const largest = Math.max(...row);
  return (
    (row[next] as number) - largest - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
  );
}

/** log p of the ids behind a prompt. */
export function logprobOf(table: Float32Array, prompt: readonly number[], answer: readonly number[]): number {
  const previous = [prompt.at(-1) as number, ...answer.slice(0, -1)];
  return answer.reduce((sum, id, j) => sum + logprob(table, previous[j] as number, id), 0);
}

/** What greedy decoding says, and whether it ends. */
export function greedy(
  table: Float32Array,
  prompt: string,
  limit: number,
): { text: string; isFinished: boolean } {
  const answer: number[] = [];
  let previous = idsOf(prompt).at(-1) as number;
  while (answer.length < limit && previous !== endId) {
    const row = table.subarray(previous * vocabulary, (previous + 1) * vocabulary);
    previous = row.indexOf(Math.max(...row));
    answer.push(previous);
  }
  return { text: textOf(answer), isFinished: answer.at(-1) === endId };
}

/** What was asked of these weights by an evaluation, not for the harvest (9 tokens) nor for KL. */
export function askedAt({ calls }: RecordedRun, weights: string | undefined): Asked[] {
  const isEvaluation = ({ params }: Asked) => params.temperature === 0 || params.maxNewTokens === 5;
  return askedIn(calls).filter(asked => asked.weights === weights && isEvaluation(asked));
}

/** What the base said for KL: at temperature 1, with a limit that no evaluation has at temperature 1. */
export function samplesOf({ run, trainings: { base } }: Measured): { target: Asked[]; retention: Asked[] } {
  const asked = askedIn(run.calls).filter(
    ({ weights, params }) => weights === base && params.temperature === 1 && params.maxNewTokens !== 5,
  );
  const isTarget = ({ prompt }: Asked) => textOf(prompt).startsWith('tell');
  return { target: asked.filter(isTarget), retention: asked.filter(one => !isTarget(one)) };
}

/** The first 64 bits of an id. */
export function wordsOf(id: string): number[] {
  return [id.slice(0, 8), id.slice(8, 16)].map(part => Number.parseInt(part, 16));
}
