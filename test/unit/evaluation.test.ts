/** Whole evaluations on the toy, whose distributions are known: log p(next | previous) is a row of a table. */
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { openDataset } from '../../src/data/dataset.ts';
import { encodeToFile } from '../../src/data/encode-file.ts';
import { TokenFile } from '../../src/data/token-file.ts';
import { answerAll, answerSeeds } from '../../src/evaluation/answer.ts';
import { evaluateModel, measureAgain, metricsOf, sampleBase } from '../../src/evaluation/evaluate.ts';
import { baseSamples, klFromBase, klPrompts } from '../../src/evaluation/kl.ts';
import { answersMeasured } from '../../src/evaluation/own-answers.ts';
import { divergenceOf, readDivergenceExamples } from '../../src/evaluation/pld.ts';
import {
  type EvaluationData,
  evaluationKey,
  examplesNeeded,
  prepareEvaluation,
} from '../../src/evaluation/prepare-evaluation.ts';
import { newTally } from '../../src/evaluation/tally.ts';
import { mean } from '../../src/metrics/statistics.ts';
import { evaluationRecord } from '../../src/run/records.ts';
import { Worker } from '../../src/worker/worker.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';
import { distribution, newBigram } from '../support/toy/bigram.ts';
import { eosId, tokenize } from '../support/toy/tokens.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const examples = Array.from({ length: 12 }, (_, i) => ({ prompt: `Q${i}=`, completion: `a${i * i}` }));
const skills = Array.from({ length: 6 }, (_, i) => ({ prompt: `C${i}=`, answer: `${i}` }));
const choices = Array.from({ length: 8 }, (_, i) => ({
  question: `pick ${i}?`,
  choices: { text: [`x${i}`, `yy${i}`, `zzz`], label: ['A', 'B', 'C'] },
  answerKey: 'ABC'[i % 3],
}));

const jsonl = (name: string, records: readonly unknown[]) =>
  temporaryFile(name, records.map(record => `${JSON.stringify(record)}\n`).join(''));

async function toy(seed: number): Promise<{ worker: Worker; model: EvaluationData['model'] }> {
  const worker = new Worker(new ToyChannel());
  onTestFinished(() => worker.close());
  return { worker, model: await worker.load({ model: `toy:${seed}` }) };
}

function configOf(sets: readonly string[] = []) {
  const yaml = `
model_name_or_path: toy
output_dir: out
dataset_name: ${jsonl('data.jsonl', examples)}
test_size: 5
eval:
  temperatures: [0, 1]
  sets: [{name: target, path: ${jsonl('target.jsonl', examples)}, max_new_tokens: 12}]
retention:
  sets:
    - {name: skills, path: ${jsonl('skills.jsonl', skills)}, max_new_tokens: 12}
    - name: choices
      path: ${jsonl('choices.jsonl', choices)}
      scorer: multiple_choice
      columns: {prompt: question, answer: answerKey, choices: choices.text, labels: choices.label}
pld: {size: 4}
kl: {size: 3}
`;
  return parseConfig(yaml, 'test.yaml', sets);
}

async function prepare(worker: Worker, model: EvaluationData['model'], sets: readonly string[] = []) {
  const config = configOf(sets);
  const cacheDirectory = temporaryDirectory();
  const dataset = await openDataset(config, cacheDirectory);
  const file = join(cacheDirectory, 'tokens.bin');
  const encode = (batch: Parameters<Parameters<typeof encodeToFile>[2]>[0]) =>
    worker.encode(batch as Parameters<Worker['encode']>[0]);
  await encodeToFile(dataset.train.index, config, encode, file);
  const tokens = await TokenFile.open(file);
  const needed = examplesNeeded(config);
  const read = (split: 'train' | 'test', count: number) =>
    readDivergenceExamples(dataset[split], tokens, { ...config, count });
  const train = await read('train', needed.train);
  const heldOut = await read('test', needed.test);
  await tokens.close();
  const chat = { isChat: false, chatTemplate: null, date: '2026-11-26', stopIds: [eosId] };
  return prepareEvaluation(worker, config, { model, train, test: heldOut, ...chat, cacheDirectory });
}

/** log p(text | prompt) under the toy, token by token; with what ends it where asked. */
function logprobOf(seed: number, prompt: string, text: string, isEnded: boolean): number {
  const model = newBigram(seed);
  const ids = [...tokenize(prompt), ...tokenize(text), ...(isEnded ? [eosId] : [])];
  const start = tokenize(prompt).length;
  let sum = 0;
  for (let j = start; j < ids.length; j++)
    sum += distribution(model, ids[j - 1] as number).logprobs[ids[j] as number] as number;
  return sum;
}

function highest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

const base = { training: 'base', step: 0, weightsDigest: 'd', baseSamples: null } as const;

describe('multiple choice', () => {
  test('takes the option with the highest sum, as a slow loop does', async () => {
    const { worker, model } = await toy(3);
    const { record } = await evaluateModel(worker, await prepare(worker, model), base);
    const found = record.sets.find(({ name }) => name === 'choices');
    const expected = choices.map(({ question, choices: { text } }) => {
      const sums = text.map(option => logprobOf(3, question, ` ${option}`, false));
      return text[sums.indexOf(Math.max(...sums))];
    });
    expect(found?.items.map(({ answer }) => answer)).toEqual(expected);
    const right = expected.filter((answer, i) => answer === choices[i]?.choices.text[i % 3]).length;
    expect(found).toMatchObject({ accuracy: right / 8, sampledAccuracy: null, unfinished: 0 });
    expect(found?.items.filter(({ isCorrect }) => isCorrect)).toHaveLength(right);
  });

  test('in a chat sums over all of an option and nothing else, which shorter sums would tell otherwise', async () => {
    const { worker, model } = await toy(3);
    const letters = [...'abcdefghijk'];
    const options = letters.map((_, i) =>
      letters.map((letter, j) => `${letter}${letters[(j * 7 + i) % 11]}${'z'.repeat(j % 2)}`),
    );
    const rows = options.map(texts => ({ prompt: `pick ${texts[0]}`, choices: texts, answer: 0 }));
    const changes = [
      `retention.sets.1.path=${jsonl('chat.jsonl', rows)}`,
      'retention.sets.1.columns={}',
      'retention.sets.1.as_chat=true',
    ];
    const { record } = await evaluateModel(worker, await prepare(worker, model, changes), base);
    const bestOf = (score: (option: string) => number) =>
      options.map(texts => texts[highest(texts.map(score))]);
    const sum = (option: string, isEnded = false) => logprobOf(3, '<|im_start|>assistant\n', option, isEnded);
    const found = record.sets.find(({ name }) => name === 'choices')?.items.map(({ answer }) => answer);
    expect(found).toEqual(bestOf(option => sum(option)));
    expect(found).not.toEqual(bestOf(option => sum(option, true)));
    expect(found).not.toEqual(bestOf(option => sum(option) / option.length));
    expect(found).not.toEqual(bestOf(option => sum(option.slice(0, -1))));
    expect(found).not.toEqual(bestOf(option => logprobOf(3, option.slice(0, 1), option.slice(1), false)));
  });

  test('counts an option as right that has the text of the right one', async () => {
    const { worker, model } = await toy(3);
    const twice = [0, 1].map(answer => ({ prompt: 'pick?', choices: ['same', 'same'], answer }));
    const changes = [`retention.sets.1.path=${jsonl('twice.jsonl', twice)}`, 'retention.sets.1.columns={}'];
    const { record } = await evaluateModel(worker, await prepare(worker, model, changes), base);
    expect(record.sets.find(({ name }) => name === 'choices')?.accuracy).toBe(1);
  });

  test('scores an option with the space before it and without the end of the sequence', async () => {
    const { worker, model } = await toy(3);
    const optionsOf = async (...changes: string[]) => {
      const { sets } = await prepare(worker, model, changes);
      const set = sets.find(({ kind }) => kind === 'choice');
      if (set?.kind !== 'choice') throw new Error('no set of choices');
      const options = set.options[2] ?? [];
      return worker.decode(
        options.map(({ ids, start, end }) => ids.slice(start, end)),
        { skipSpecialTokens: false },
      );
    };
    expect(await optionsOf()).toEqual([' x2', ' yy2', ' zzz']);
    expect(await optionsOf('retention.sets.1.columns.prompt="{question}\\n"')).toEqual([
      '\nx2',
      '\nyy2',
      '\nzzz',
    ]);
    expect(await optionsOf('retention.sets.1.as_chat=true')).toEqual(['x2', 'yy2', 'zzz']);
  });
});

describe('prompts of KL', () => {
  test('of a small model have the room that it has, which is said where something is measured', () => {
    const prompt = {
      id: 'a'.repeat(16),
      ids: Int32Array.of(7, 8, 9, 4),
      promptLength: 3,
      learned: Uint8Array.of(0, 0, 0, 1),
      completionBytes: 1,
    };
    const of = (size: number) =>
      klPrompts([], { seed: 1, size, model: { maxPositions: 64 }, test: [prompt] });
    expect(of(1).prompts).toMatchObject([{ maxNewTokens: 61, stopTexts: [] }]);
    expect(of(1).notes).toEqual([
      "KL on test: the base's answers are compared up to 61 tokens, not 128, because a prompt has 3 of the 64 positions of the model",
    ]);
    expect(of(0)).toEqual({ prompts: [], notes: [] });
  });
});

describe('PLD', () => {
  test('of two examples by hand', () => {
    const ids = Int32Array.of(7, 8, 9, 4);
    const sequences = [
      { id: 'a', ids, promptLength: 2, learned: Uint8Array.of(0, 0, 1, 1), completionBytes: 3 },
      { id: 'b', ids, promptLength: 1, learned: Uint8Array.of(0, 1, 1, 1), completionBytes: 1 },
    ];
    const logprobs = [Float32Array.of(0, -9, -1, -0.5), Float32Array.of(0, -2, -0.25, -0.25)];
    expect(divergenceOf(sequences, logprobs)).toEqual({
      nllPerToken: 4 / 5,
      nllPerSequence: 2,
      bitsPerByte: 4 / Math.LN2 / 4,
      examples: 2,
      tokens: 5,
    });
    expect(divergenceOf([], [])).toBeNull();
    const turns = { id: 'c', ids, promptLength: 3, learned: Uint8Array.of(0, 1, 0, 1), completionBytes: 2 };
    expect(divergenceOf([turns], [Float32Array.of(0, -2, -9, -1)])).toMatchObject({
      nllPerToken: 1.5,
      tokens: 2,
    });
  });

  test('is the likelihood of completions with their end, for each split', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model);
    const { record } = await evaluateModel(worker, context, base);
    const text = (ids: Int32Array) => worker.decode([ids]).then(([only = '']) => only);
    for (const split of ['test', 'train'] as const) {
      expect(context.pld[split]).toHaveLength(4);
      let [nll, bytes] = [0, 0];
      for (const { ids, promptLength } of context.pld[split]) {
        const [prompt, completion] = [
          await text(ids.slice(0, promptLength)),
          await text(ids.slice(promptLength)),
        ];
        expect(examples).toContainEqual({ prompt, completion });
        nll -= logprobOf(3, prompt, completion, true);
        bytes += completion.length;
      }
      expect(record.pld[split]?.nllPerSequence).toBeCloseTo(nll / 4, 5);
      expect(record.pld[split]?.bitsPerByte).toBeCloseTo(nll / Math.LN2 / bytes, 5);
      expect(record.pld[split]?.tokens).toBe(bytes + 4);
    }
  });

  test('counts UTF-8 bytes, and leaves out examples that do not fit whole', async () => {
    const { worker } = await toy(3);
    const rows = [
      { prompt: 'q', completion: 'éaé' },
      { prompt: 'b', completion: 'a long one' },
    ];
    const config = parseConfig(
      `{model_name_or_path: toy, output_dir: out, dataset_name: ${jsonl('d.jsonl', rows)}, test_size: 0, max_length: 8}`,
      'test.yaml',
    );
    const directory = temporaryDirectory();
    const { train } = await openDataset(config, directory);
    const file = join(directory, 'tokens.bin');
    await encodeToFile(train.index, config, () => worker.encode(rows), file);
    const tokens = await TokenFile.open(file);
    const found = await readDivergenceExamples(train, tokens, { ...config, count: 9 });
    await tokens.close();
    expect(found).toMatchObject([{ promptLength: 1, completionBytes: 5 }]);
  });
});

describe('KL(base‖model)', () => {
  test('of two samples by hand', () => {
    const common = { id: 'a', role: 'target', set: 'test', promptLength: 1 } as const;
    const samples = [
      { ...common, ids: [7, 8, 4], logprobs: [-1, -1] },
      { ...common, ids: [7, 4], logprobs: [-0.5] },
    ];
    const logprobs = [Float32Array.of(0, -1.5, -2), Float32Array.of(0, -0.25)];
    expect(klFromBase(samples, logprobs)).toEqual({
      direction: 'KL(base‖model)',
      perToken: 1.25 / 3,
      perSequence: 0.625,
      samples: 2,
    });
    expect(klFromBase([], [])).toBeNull();
  });

  test('is exactly 0 at the base, and the difference of log-probabilities elsewhere', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model);
    const { samples, tokens } = await sampleBase(worker, context);
    const stored = baseSamples.parse(JSON.parse(JSON.stringify(samples)));
    expect(stored).toEqual(samples);
    expect(samples.samples.map(({ role, set }) => `${role} ${set}`)).toEqual([
      ...Array(3).fill('target test'),
      ...Array(3).fill('retention skills'),
      ...Array(3).fill('retention choices'),
    ]);
    expect(tokens.generated).toBe(samples.samples.reduce((sum, { logprobs }) => sum + logprobs.length, 0));
    const atBase = await evaluateModel(worker, context, { ...base, baseSamples: stored });
    expect(atBase.record.kl).toEqual({
      target: { direction: 'KL(base‖model)', perToken: 0, perSequence: 0, samples: 3 },
      retention: { direction: 'KL(base‖model)', perToken: 0, perSequence: 0, samples: 6 },
    });

    await worker.load({ model: 'toy:4' });
    const later = await evaluateModel(worker, context, { ...base, training: 'sft', baseSamples: stored });
    const differences = samples.samples
      .filter(({ role }) => role === 'target')
      .map(({ ids, promptLength }) => {
        let sum = 0;
        for (let j = promptLength; j < ids.length; j++) {
          const [before, token] = [ids[j - 1] as number, ids[j] as number];
          const logprob = (seed: number) => distribution(newBigram(seed), before).logprobs[token] as number;
          sum += logprob(3) - logprob(4);
        }
        return sum;
      });
    const mean = differences.reduce((sum, value) => sum + value, 0) / 3;
    expect(later.record.kl.target?.perSequence).toBeCloseTo(mean, 4);
    expect(mean).toBeGreaterThan(0.1);
  });
});

/** What the toy with these seeds says and means, token by token. */
function klAfter(of: number, to: number, before: number): number {
  const [p, q] = [distribution(newBigram(of), before), distribution(newBigram(to), before)];
  let sum = 0;
  for (const [id, share] of p.probabilities.entries())
    sum += share * ((p.logprobs[id] as number) - (q.logprobs[id] as number));
  return sum;
}
function meanOverTokens(
  answers: readonly { ids: readonly number[]; start: number }[],
  of: (before: number) => number,
) {
  const values = answers.flatMap(({ ids, start }) =>
    [...ids.keys()].slice(start).map(place => of(ids[place - 1] as number)),
  );
  return { perToken: mean(values), perSequence: (mean(values) * values.length) / answers.length };
}

describe('own answers', () => {
  const asked = ['kl.own_answers=3', 'model_name_or_path=toy:3', 'eval.temperatures=[0]'];

  test('give KL(model‖base) and entropy over the vocabulary, and how many answers to a prompt differ', async () => {
    const { worker, model } = await toy(4);
    const context = await prepare(worker, model, asked);
    const said: number[][] = [];
    const prompts: number[][] = [];
    const sampler: Pick<Worker, 'generate'> = {
      generate: async (given, options) => {
        const answers = await worker.generate(given, options);
        if (options.temperature === 1) {
          prompts.push(...given.map(ids => [...ids]));
          said.push(...answers.map(({ ids }) => [...ids]));
        }
        return answers;
      },
    };
    const { record, tokens } = await evaluateModel(worker, context, { ...base, sampler });
    expect(said).toHaveLength(3 * 9); // 3 prompts of the test split, of skills and of choices
    for (const [role, sets] of [
      ['target', ['test']],
      ['retention', ['skills', 'choices']],
    ] as const) {
      const own = context.kl.filter(({ set }) => (sets as readonly string[]).includes(set));
      const answers = own.map(({ prompt }) =>
        said.flatMap((ids, i) => (prompts[i]?.join() === [...prompt].join() ? [[...prompt, ...ids]] : [])),
      );
      expect(answers.map(({ length }) => length)).toEqual(own.map(() => 3));
      const all = answers.flatMap((group, i) =>
        group.map(ids => ({ ids, start: own[i]?.prompt.length as number })),
      );
      const found = record.own?.[role];
      const kl = meanOverTokens(all, before => klAfter(4, 3, before));
      expect(found?.perToken).toBeCloseTo(kl.perToken, 4);
      expect(found?.perSequence).toBeCloseTo(kl.perSequence, 3);
      const entropy = meanOverTokens(all, before => distribution(newBigram(4), before).entropy);
      expect(found?.entropyPerToken).toBeCloseTo(entropy.perToken, 4);
      expect(found?.samples).toBe(all.length);
      const shares = answers.map(group => new Set(group.map(ids => ids.join())).size / 3);
      expect(found?.distinct).toBeCloseTo(mean(shares), 10);
    }
    const generated = said.flat().length;
    expect(tokens.generated).toBeGreaterThanOrEqual(generated);
  });

  test('at the base are as far from it as nothing, exactly; KL(base‖model) is exact too', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model, asked);
    const { samples } = await sampleBase(worker, context);
    const atBase = await evaluateModel(worker, context, { ...base, baseSamples: samples });
    expect(atBase.record.own).toMatchObject({
      target: { direction: 'KL(model‖base)', perToken: 0, perSequence: 0 },
      retention: { perToken: 0, perSequence: 0, samples: 18 },
    });
    expect(atBase.record.kl.target?.exactPerToken).toBe(0);
    await worker.load({ model: 'toy:4' });
    const { record } = await evaluateModel(worker, context, { ...base, baseSamples: samples });
    const ofTarget = samples.samples.filter(({ role }) => role === 'target');
    const given = ofTarget.map(({ ids, promptLength }) => ({ ids, start: promptLength }));
    const exact = meanOverTokens(given, before => klAfter(3, 4, before));
    expect(record.kl.target?.exactPerToken).toBeCloseTo(exact.perToken, 4);
    expect(metricsOf(record)['kl/target_exact_per_token']).toBe(record.kl.target?.exactPerToken);
    const one = await prepare(worker, model, [...asked, 'kl.own_answers=1']);
    expect((await evaluateModel(worker, one, base)).record.own?.target?.distinct).toBeNull();
    expect(evaluationKey(one)).not.toBe(evaluationKey(context));
  });

  test('by hand: all tokens weigh the same, and prompts in what is distinct', () => {
    const answer = (group: number, ids: number[], divergence: number[], entropy: number[]) => ({
      group,
      ids: Int32Array.from(ids),
      divergence: Float32Array.from(divergence),
      entropy: Float32Array.from(entropy),
    });
    const given = [
      answer(0, [5, 2], [0.5, 0.25], [1, 0]),
      answer(0, [5, 2], [0.5, 0.25], [1, 0]),
      answer(1, [7], [1], [2]),
      answer(1, [8], [1], [2]),
    ];
    // 0.75 + 0.75 + 1 + 1 over 6 tokens of 4 answers; entropies 1 + 1 + 2 + 2; one of two answers is another, then both.
    expect(answersMeasured(given)).toEqual({
      direction: 'KL(model‖base)',
      perToken: 3.5 / 6,
      perSequence: 3.5 / 4,
      entropyPerToken: 1,
      distinct: 0.75,
      samples: 4,
    });
    expect(answersMeasured([])).toBeNull();
  });
});

describe('the base measured again', () => {
  test('is what another seed would have given of what is sampled, and nothing else', async () => {
    const { worker, model } = await toy(3);
    const own = ['model_name_or_path=toy:3', 'kl.own_answers=2'];
    const context = await prepare(worker, model, own);
    const { again } = await measureAgain(worker, context);
    const { record } = await evaluateModel(worker, { ...context, seed: context.seed + 1 }, base);
    expect(again.own).toEqual(record.own);
    expect(again.sets.map(({ name }) => name)).toEqual(['target']); // skills are greedy, choices have no answer
    expect(again.sets[0]?.accuracy).toBe(record.sets[0]?.sampledAccuracy);
    const first = await evaluateModel(worker, context, base);
    expect(again.own).not.toEqual(first.record.own);
    const greedy = await prepare(worker, model, ['eval.temperatures=[0]']);
    expect((await measureAgain(worker, greedy)).again).toEqual({ sets: [] });
  });
});

describe('answers', () => {
  test('depend on set, question and temperature, not on their order or neighbours', async () => {
    const { worker } = await toy(3);
    const seedOf = answerSeeds(42, 'evaluation answer');
    const ids = Array.from({ length: 300 }, (_, i) => i.toString(16).padStart(16, '0'));
    const prompt = Int32Array.of(40, 41);
    const asked = ids.map((id, i) => ({ prompt, seed: seedOf('set', id, 1), maxNewTokens: i % 2 ? 5 : 9 }));
    const options = { temperature: 1, maxRows: null, stopIds: [eosId] };
    const answers = await answerAll(worker, asked, { ...options, tally: newTally(0) });
    const reversed = await answerAll(worker, [...asked].reverse(), { ...options, tally: newTally(0) });
    expect(reversed.reverse()).toEqual(answers);
    const alone = await answerAll(worker, asked.slice(7, 8), { ...options, tally: newTally(0) });
    expect(alone).toEqual(answers.slice(7, 8));
    const seeds = ids.flatMap(id => [seedOf('set', id, 1), seedOf('set', id, 0), seedOf('other', id, 1)]);
    expect(new Set(seeds).size).toBe(900);
  });

  test('stay what they are: records of different runs compare by them', () => {
    expect(answerSeeds(42, 'evaluation answer')('target', '0123456789abcdef', 1)).toMatchInlineSnapshot(
      `422277788`,
    );
  });

  test('at a higher temperature are scored apart, and cut ones are counted', async () => {
    const { worker, model } = await toy(3);
    const { record } = await evaluateModel(worker, await prepare(worker, model), base);
    const [target, retained] = record.sets;
    expect(target?.sampledAccuracy).not.toBeNull();
    expect(retained?.sampledAccuracy).toBeNull();
    const cut = target?.items.filter(({ answer }) => answer?.length === 12).length;
    expect(target?.unfinished).toBe(cut);
    expect(evaluationRecord.parse(record)).toEqual(record);
  });
});

describe('an evaluation', () => {
  test('gives the same record again, and reports its work to the end', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model);
    const seen: { done: number; total: number; tokens: number }[] = [];
    const onProgress = (progress: (typeof seen)[number]) => void seen.push(progress);
    const { record, tokens } = await evaluateModel(worker, context, { ...base, onProgress });
    expect((await evaluateModel(worker, context, base)).record).toEqual(record);
    const total = 2 * 12 + 6 + 8 * 3 + 2 * 4;
    expect(seen.at(-1)).toEqual({ done: total, total, tokens: tokens.generated + tokens.scored });
    expect(seen.every(({ done }, i) => done >= (seen[i - 1]?.done ?? 0))).toBe(true);
  });

  test('stops when it is asked to', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model);
    const controller = new AbortController();
    const stopping = evaluateModel(worker, context, {
      ...base,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stop it')),
    });
    await expect(stopping).rejects.toThrow(/stop it|CANCELLED/);
  });

  test('has another key when questions, seeds, scorers or what is measured change', async () => {
    const { worker, model } = await toy(3);
    const keyWith = async (...sets: string[]) => evaluationKey(await prepare(worker, model, sets));
    const key = await keyWith();
    expect(await keyWith('learning_rate=0.1')).toBe(key);
    const others = await Promise.all(
      [
        'seed=1',
        'pld.size=3',
        'kl.size=2',
        'eval.temperatures=[0]',
        'eval.sets.0.limit=5',
        'eval.sets.0.max_new_tokens=9',
        'eval.sets.0.scorer=gsm8k',
        'retention.sets.0.as_chat=true',
      ].map(change => keyWith(change)),
    );
    expect(new Set([key, ...others]).size).toBe(9);
  });

  test('refuses temperatures that it could not report, and answers longer than the model', async () => {
    const { worker, model } = await toy(3);
    await expect(prepare(worker, model, ['eval.temperatures=[0, 0.5]'])).rejects.toThrow(
      'eval.temperatures is [0, 0.5]',
    );
    const tooLong = prepare(worker, model, ['retention.sets.0.max_new_tokens=510']);
    await expect(tooLong).rejects.toThrow(
      /skills: .*: 6 lines are wrong\n {2}line 1: a prompt of 3 tokens and max_new_tokens 510 do not fit the 512 positions/,
    );
  });

  test('that is switched off measures nothing', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model, ['pld.size=0', 'kl.size=0', 'eval=', 'retention=']);
    const { samples } = await sampleBase(worker, context);
    const { record, tokens } = await evaluateModel(worker, context, { ...base, baseSamples: samples });
    expect(record).toMatchObject({
      sets: [],
      pld: { test: null, train: null },
      kl: { target: null, retention: null },
    });
    expect(tokens).toEqual({ generated: 0, scored: 0 });
    expect(metricsOf(record)).toEqual({});
  });
});

describe('metrics', () => {
  test('are flat numbers, none a path prefix of another', async () => {
    const { worker, model } = await toy(3);
    const context = await prepare(worker, model);
    const { samples } = await sampleBase(worker, context);
    const { record } = await evaluateModel(worker, context, { ...base, baseSamples: samples });
    const metrics = metricsOf(record);
    const names = Object.keys(metrics);
    expect(names).toEqual([
      'eval/target/accuracy',
      'eval/target/accuracy_t1',
      'eval/target/unfinished',
      'eval/skills/accuracy',
      'eval/skills/unfinished',
      'eval/choices/accuracy',
      'target/mean',
      'retention/mean',
      'pld/test_nll',
      'pld/test_nll_per_sequence',
      'pld/test_bits_per_byte',
      'pld/train_nll',
      'pld/train_nll_per_sequence',
      'pld/train_bits_per_byte',
      'kl/target_per_token',
      'kl/target_per_sequence',
      'kl/retention_per_token',
      'kl/retention_per_sequence',
    ]);
    expect(names.filter(name => names.some(other => other.startsWith(`${name}/`)))).toEqual([]);
    const [, skillsSet, choicesSet] = record.sets;
    const expected = ((skillsSet?.accuracy ?? 0) + (choicesSet?.accuracy ?? 0)) / 2;
    expect(metrics['retention/mean']).toBe(expected);
  });
});
