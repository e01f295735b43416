/**
 * What is measured, worked out by hand from the weights that stood in the worker. The toy is a table: the logits of the next token are the
 * row of the token before it, so every log-probability is a log-softmax of a row.
 */
import { describe, expect, it } from 'vitest';
import {
  type Asked,
  askedIn,
  callsOf,
  type RecordedRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { type Example, endId, fnv, idsOf, philox, textOf } from '../support/reference.ts';
import { examples, heldOut, smallFacts, smallRun, trainingsOf } from '../support/small-run.ts';
import { newBigram } from '../support/toy/bigram.ts';

const folder = workFolder();
const vocabulary = 101;

const keep = [
  { prompt: 'keep x', answer: 'ba' },
  { prompt: 'keep y', answer: 'ab' },
  { prompt: 'keep b', answer: 'bb' },
];
const choices = [
  { question: 'which x', options: ['a', 'b'], right: 0 },
  { question: 'which y', options: ['ab', 'ba', 'zz'], right: 1 },
];

/** Evaluates a target set at two temperatures, a retained one and one of options at the base and three points of each training. */
const settings: Settings = {
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
};

/** One run for all tests of this file. */
let measured: Promise<RecordedRun> | null = null;
const measuredRun = (): Promise<RecordedRun> => {
  measured ??= recordRun(folder, smallRun(folder, settings));
  return measured;
};

/** The table of the base, of the last SFT model, of the student. */
async function tables(): Promise<{ base: Float32Array; sft: Float32Array; student: Float32Array }> {
  const { output } = await measuredRun();
  const of = (model: string) => {
    const { content } = readRecord(output, 'models', model, 'toy-model.json');
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
function logprobOf(table: Float32Array, prompt: readonly number[], answer: readonly number[]): number {
  const previous = [prompt.at(-1) as number, ...answer.slice(0, -1)];
  return answer.reduce((sum, id, j) => sum + logprob(table, previous[j] as number, id), 0);
}

/** What greedy decoding says, and whether it ends. */
function greedy(table: Float32Array, prompt: string, limit: number): { text: string; isFinished: boolean } {
  const answer: number[] = [];
  let previous = idsOf(prompt).at(-1) as number;
  while (answer.length < limit && previous !== endId) {
    const row = table.subarray(previous * vocabulary, (previous + 1) * vocabulary);
    previous = row.indexOf(Math.max(...row));
    answer.push(previous);
  }
  return { text: textOf(answer), isFinished: answer.at(-1) === endId };
}

const evaluations = async () => {
  const { output } = await measuredRun();
  const of = (name: string) => readRecord(output, 'evaluation', `${name}.json`);
  return {
    base: of('base-step-000000'),
    sft: of('sft-step-000009'),
    student: of('student-step-000009'),
  };
};

describe('evaluations', () => {
  it('are made of the base and at steps 3, 6 and 9 of each training, of the weights that stood there', async () => {
    const run = await measuredRun();
    const { base, sft, student } = trainingsOf(run, smallFacts);
    const digest = (name: string) => readRecord(run.output, 'evaluation', `${name}.json`).weightsDigest;
    expect(digest('base-step-000000')).toBe(base);
    for (const step of [3, 6, 9]) {
      expect(digest(`sft-step-00000${step}`)).toBe(sft[step - 1]?.after);
      expect(digest(`student-step-00000${step}`)).toBe(student[step - 1]?.after);
    }
  });

  it('stand in metrics.jsonl as numbers, each where it was made', async () => {
    const { output } = await measuredRun();
    const lines = readRows(output, 'metrics.jsonl').filter(line => !('loss' in line));
    expect(lines.map(({ stage, step }) => [stage, step])).toEqual([
      ['base', 0],
      ...['sft', 'student'].flatMap(stage => [3, 6, 9].map(step => [stage, step])),
    ]);
    const { sets, pld, kl } = (await evaluations()).student;
    const [say, kept, chosen] = sets;
    expect(lines.at(-1)).toEqual({
      stage: 'student',
      step: 9,
      'eval/say/accuracy': say.accuracy,
      'eval/say/accuracy_t1': say.sampledAccuracy,
      'eval/say/unfinished': say.unfinished,
      'eval/keep/accuracy': kept.accuracy,
      'eval/keep/unfinished': kept.unfinished,
      'eval/choose/accuracy': chosen.accuracy,
      'target/mean': say.accuracy,
      'retention/mean': (kept.accuracy + chosen.accuracy) / 2,
      'pld/test_nll': pld.heldOut.nllPerToken,
      'pld/test_nll_per_sequence': pld.heldOut.nllPerSequence,
      'pld/test_bits_per_byte': pld.heldOut.bitsPerByte,
      'pld/train_nll': pld.train.nllPerToken,
      'pld/train_nll_per_sequence': pld.train.nllPerSequence,
      'pld/train_bits_per_byte': pld.train.bitsPerByte,
      'kl/target_per_token': kl.target.perToken,
      'kl/target_per_sequence': kl.target.perSequence,
      'kl/retention_per_token': kl.retention.perToken,
      'kl/retention_per_sequence': kl.retention.perSequence,
    });
  });
});

describe('accuracy', () => {
  it('is the share of greedy answers that are the reference, of every set in its role', async () => {
    const found = await evaluations();
    const weights = await tables();
    for (const model of ['base', 'sft', 'student'] as const) {
      const [say, kept] = found[model].sets;
      expect([say.role, kept.role]).toEqual(['target', 'retention']);
      expect(say.items).toHaveLength(6);
      expectGreedy(
        weights[model],
        say,
        examples.map(({ prompt, completion }) => [prompt, completion]),
        5,
      );
      expectGreedy(
        weights[model],
        kept,
        keep.map(({ prompt, answer }) => [prompt, answer]),
        4,
      );
    }
    expect(found.student.sets[0].accuracy).toBeGreaterThan(found.base.sets[0].accuracy);
  });

  it('at temperature 1 is of sampled answers', async () => {
    const run = await measuredRun();
    const { student } = trainingsOf(run, smallFacts);
    const last = askedAt(run, student.at(-1)?.after).filter(({ params }) => params.temperature === 1);
    const right = last.filter(({ prompt, answer, isFinished }) => {
      const example = examples.find(one => one.prompt === textOf(prompt));
      return isFinished && textOf(answer) === example?.completion;
    });
    expect(last).toHaveLength(6);
    expect((await evaluations()).student.sets[0].sampledAccuracy).toBe(right.length / 6);
  });

  it('of options is of the one with the highest sum of log-probabilities', async () => {
    const found = await evaluations();
    const weights = await tables();
    for (const model of ['base', 'sft', 'student'] as const) {
      const { items, accuracy } = found[model].sets[2];
      const chosen = choices.map(({ question, options }) => {
        const sums = options.map(option => logprobOf(weights[model], idsOf(question), idsOf(` ${option}`)));
        return sums.indexOf(Math.max(...sums));
      });
      const byText = new Set(choices.map(({ options }, i) => options[chosen[i] as number]));
      expect(new Set(items.map(({ answer }: { answer: string }) => answer))).toEqual(byText);
      expect(accuracy).toBe(choices.filter(({ right }, i) => chosen[i] === right).length / 2);
    }
  });

  it('asks the same questions with the same seeds at every point, greedy and at temperature 1', async () => {
    const run = await measuredRun();
    const { base, sft, student } = trainingsOf(run, smallFacts);
    const points = [base, ...[3, 6, 9].flatMap(step => [sft[step - 1]?.after, student[step - 1]?.after])];
    const [first, ...others] = points.map(weights =>
      askedAt(run, weights).map(({ prompt, seed, params }) => ({ prompt, seed, params })),
    );
    for (const other of others) expect(other).toEqual(first);
    expect(first?.map(({ params }) => [params.temperature, params.maxNewTokens])).toEqual([
      ...Array(6).fill([0, 5]),
      ...Array(3).fill([0, 4]),
      ...Array(6).fill([1, 5]),
    ]);
    for (const { params } of first ?? [])
      expect(params).toMatchObject({ topP: 1, topK: 0, stopIds: [endId] });
    const ids = (await evaluations()).base.sets[0].items.map(({ id }: { id: string }) => id);
    const seeds = ids.map(
      (id: string) => philox([fnv('say'), 1000, ...wordsOf(id)], [7, fnv('evaluation answer')])[0],
    );
    expect(first?.slice(9).map(({ seed }) => seed)).toEqual(seeds);
  });
});

describe('policy–label divergence', () => {
  it('is −log p of completions with their end: a token, a sequence, in bits a byte; of each split', async () => {
    const found = await evaluations();
    const weights = await tables();
    for (const model of ['base', 'sft', 'student'] as const) {
      expectDivergence(weights[model], found[model].pld.heldOut, heldOut);
      expectDivergence(weights[model], found[model].pld.train, examples);
    }
  });

  it('is measured on the splits and as many examples as asked', async () => {
    const run = await recordRun(
      folder,
      smallRun(folder, { method: 'sft', pld: { size: 2, splits: ['test'] }, kl: { size: 0 } }),
    );
    const { pld } = readRecord(run.output, 'evaluation', 'sft-step-000009.json');
    expect(pld.train).toBeNull();
    expect(pld.heldOut.examples).toBe(2);
    expect(callsOf(run.calls, 'generate')).toEqual([]);
  });
});

describe('KL(base‖model)', () => {
  it('is the mean of log π_base − log π over answers that the base gave at temperature 1', async () => {
    const run = await measuredRun();
    const found = await evaluations();
    const weights = await tables();
    const samples = samplesOf(run);
    for (const role of ['target', 'retention'] as const) {
      const ofRole = samples[role];
      for (const model of ['base', 'sft', 'student'] as const) {
        const differences = ofRole.map(
          ({ prompt, answer }) =>
            logprobOf(weights.base, prompt, answer) - logprobOf(weights[model], prompt, answer),
        );
        const sum = differences.reduce((total, difference) => total + difference, 0);
        const tokens = ofRole.reduce((total, { answer }) => total + answer.length, 0);
        expect(found[model].kl[role]).toEqual({
          direction: 'KL(base‖model)',
          perToken: expect.closeTo(sum / tokens, 5),
          perSequence: expect.closeTo(sum / ofRole.length, 4),
          samples: ofRole.length,
        });
      }
    }
    expect(found.base.kl.target.perToken).toBeCloseTo(0, 6);
    expect(found.sft.kl.target.perToken).toBeGreaterThan(0.1);
  });

  it('asks the base once, for two held-out prompts and two of each retained set, with seeds of their own', async () => {
    const run = await measuredRun();
    const { target, retention } = samplesOf(run);
    expect(target.map(({ params }) => params.maxNewTokens)).toEqual([128, 128]);
    expect(target.every(({ prompt }) => heldOut.some(example => example.prompt === textOf(prompt)))).toBe(
      true,
    );
    expect(retention.map(({ prompt }) => textOf(prompt).slice(0, 5)).toSorted()).toEqual([
      'keep ',
      'keep ',
      'which',
      'which',
    ]);
    const { samples } = readRecord(run.output, 'base-samples.json');
    const seeds = samples.map(
      ({ id, role, set }: { id: string; role: string; set: string }) =>
        philox([fnv(`${role} ${set}`), 1000, ...wordsOf(id)], [7, fnv('base sample')])[0],
    );
    const asked = [...target, ...retention];
    expect(new Set(asked.map(({ seed }) => seed))).toEqual(new Set(seeds));
    for (const { params } of asked) expect(params).toMatchObject({ temperature: 1, topP: 1, topK: 0 });
  });
});

type SetFound = {
  items: { id: string; isCorrect: boolean; answer: string }[];
  accuracy: number;
  unfinished: number;
};

/** Items are in the order of the file, so that a walk along the file meets each. */
function expectGreedy(table: Float32Array, set: SetFound, questions: string[][], limit: number): void {
  const answers = questions.map(([prompt = '', reference = '']) => {
    const { text, isFinished } = greedy(table, prompt, limit);
    return { answer: text, isCorrect: isFinished && text === reference, isFinished };
  });
  let place = 0;
  const met = set.items.map(({ answer, isCorrect }) => {
    while (
      place < answers.length &&
      (answers[place]?.answer !== answer || answers[place]?.isCorrect !== isCorrect)
    )
      place++;
    return answers[place++];
  });
  expect(met).not.toContain(undefined);
  expect(set.accuracy).toBe(set.items.filter(({ isCorrect }) => isCorrect).length / set.items.length);
  if (questions.length === set.items.length)
    expect(set.unfinished).toBe(answers.filter(({ isFinished }) => !isFinished).length);
}

/** Which three of the split is decided by a hash: one choice of three must give all the numbers. */
function expectDivergence(
  table: Float32Array,
  found: Record<string, number>,
  split: readonly Example[],
): void {
  const candidates = triplesOf(split).map(three => {
    const nll = -three.reduce(
      (sum, { prompt, completion }) => sum + logprobOf(table, idsOf(prompt), [...idsOf(completion), endId]),
      0,
    );
    const bytes = three.reduce((sum, { completion }) => sum + completion.length, 0);
    return { nll, bytes, tokens: bytes + 3 };
  });
  const fitting = candidates.filter(
    ({ nll, bytes, tokens }) =>
      found.tokens === tokens &&
      Math.abs((found.nllPerToken as number) - nll / tokens) < 1e-5 &&
      Math.abs((found.nllPerSequence as number) - nll / 3) < 1e-4 &&
      Math.abs((found.bitsPerByte as number) - nll / Math.LN2 / bytes) < 1e-4,
  );
  expect(fitting.length, JSON.stringify(found)).toBeGreaterThan(0);
  expect(found.examples).toBe(3);
}

function triplesOf<T>(values: readonly T[]): T[][] {
  return values.flatMap((a, i) =>
    values.slice(i + 1).flatMap((b, j) => values.slice(i + j + 2).map(c => [a, b, c])),
  );
}

/** What was asked of these weights by an evaluation, not for the harvest (9 tokens) nor for KL. */
function askedAt({ calls }: RecordedRun, weights: string | undefined): Asked[] {
  const isEvaluation = ({ params }: Asked) => params.temperature === 0 || params.maxNewTokens === 5;
  return askedIn(calls).filter(asked => asked.weights === weights && isEvaluation(asked));
}

/** What the base said for KL: at temperature 1, with a limit that no evaluation has at temperature 1. */
function samplesOf(run: RecordedRun): { target: Asked[]; retention: Asked[] } {
  const { base } = trainingsOf(run, smallFacts);
  const asked = askedIn(run.calls).filter(
    ({ weights, params }) => weights === base && params.temperature === 1 && params.maxNewTokens !== 5,
  );
  const isTarget = ({ prompt }: Asked) => textOf(prompt).startsWith('tell');
  return { target: asked.filter(isTarget), retention: asked.filter(one => !isTarget(one)) };
}

function wordsOf(id: string): number[] {
  return [id.slice(0, 8), id.slice(8, 16)].map(part => Number.parseInt(part, 16));
}
