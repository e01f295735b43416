/** lm-eval with our worker as its model, beside lm-eval with its own: same tasks, same tiny model, same items. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  collectRequests,
  type LmEvalModel,
  type LmEvalSuite,
  scoreAnswers,
} from '../../src/evaluation/lm-eval.ts';
import { answerRequests } from '../../src/evaluation/lm-eval-answers.ts';
import { newTally } from '../../src/evaluation/tally.ts';
import { openSide, type Side } from '../../src/python/side.ts';
import { Worker } from '../../src/worker/worker.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { pythonPath, tinyModel, torchWorker } from '../support/tiny-model.ts';

const python = await pythonPath();
const hasLmEval =
  spawnSync(python, ['-c', 'import importlib.util as u, sys; sys.exit(u.find_spec("lm_eval") is None)'])
    .status === 0;

/** Short enough for the 128 positions of the model but for the last text, which fills several windows. */
const data = {
  choice: [
    { question: 'what is 1+1', choices: ['two', 'three', 'four'], answer: 0 },
    { question: 'the sky is', choices: ['red', 'blue'], answer: 1 },
    { question: 'a cat says', choices: ['moo', 'woof', 'miaow'], answer: 2 },
    { question: `far too long ${'and longer '.repeat(12)}`, choices: ['yes', 'no'], answer: 0 },
  ],
  words: [
    { question: '1+1', answer: '2' },
    { question: 'name a fish', answer: 'eel' },
  ],
  continuation: [
    { context: 'the end of the', target: ' day' },
    { context: '', target: 'x' },
  ],
  text: [{ page: 'hello world, this is a text. '.repeat(10) }],
};

const tasks = {
  choice:
    'output_type: multiple_choice\ndoc_to_text: "Q: {{question}}\\nA:"\ndoc_to_choice: "{{choices}}"\ndoc_to_target: "{{answer}}"\nnum_fewshot: 1\nfewshot_split: test\nmetric_list: [{metric: acc}, {metric: acc_norm}]',
  words:
    'output_type: generate_until\ndoc_to_text: "Q: {{question}}\\nA:"\ndoc_to_target: "{{answer}}"\ngeneration_kwargs: {until: ["\\n", "e"], max_gen_toks: 24}\nmetric_list: [{metric: exact_match}]',
  continuation:
    'output_type: loglikelihood\ndoc_to_text: "{{context}}"\ndoc_to_target: "{{target}}"\nmetric_list: [{metric: perplexity, aggregation: perplexity, higher_is_better: false}, {metric: acc, aggregation: mean, higher_is_better: true}]',
  text: 'output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{page}}"\nmetric_list: [{metric: bits_per_byte}]',
};

function writeTasks(): string {
  const folder = temporaryFolder;
  for (const [name, rows] of Object.entries(data)) {
    const file = join(folder, `${name}.jsonl`);
    writeFileSync(file, rows.map(row => `${JSON.stringify(row)}\n`).join(''));
    const yaml = tasks[name as keyof typeof tasks];
    writeFileSync(
      join(folder, `${name}.yaml`),
      `task: tiny_${name}\ndataset_path: json\ndataset_kwargs: {data_files: {test: ${file}}}\ntest_split: test\n${yaml}\nmetadata: {version: 1.0}\n`,
    );
  }
  return folder;
}

let temporaryFolder: string;

const maxPositions = 128;
const shim = join(import.meta.dirname, '../fixtures/python/lm_eval_reference.py');
const sample = z.object({
  doc_id: z.int(),
  doc_hash: z.string(),
  resps: z.array(z.array(z.unknown())),
  arguments: z.array(z.array(z.unknown())),
});
const reference = z.object({
  samples: z.record(z.string(), z.array(sample.loose())),
  results: z.record(z.string(), z.record(z.string(), z.unknown())),
});

describe.skipIf(!hasLmEval)('a local task of lm-eval (needs npx tms setup --with lm_eval)', () => {
  let side: Side;
  let worker: Worker;
  let model: LmEvalModel;
  let expected: z.infer<typeof reference>;
  let vocabSize: number;
  let stopIds: readonly number[];

  beforeAll(async () => {
    temporaryFolder = mkdtempSync(join(tmpdir(), 'tms-test-'));
    writeTasks();
    const path = await tinyModel();
    side = await openSide({ python, shim });
    worker = new Worker(await torchWorker());
    const info = await worker.load({ model: path, device: 'cpu' });
    ({ vocabSize, eosTokenIds: stopIds } = info);
    model = { model: path, revision: null, trustRemoteCode: false, maxPositions };
    const names = Object.keys(data).map(name => `tiny_${name}`);
    const args = {
      model: path,
      tasks: names,
      folder: temporaryFolder,
      max_length: maxPositions - 1,
      chat: false,
    };
    expected = await side.call('reference', args, reference);
  });
  afterAll(async () => {
    await Promise.all([side?.close(), worker?.close()]);
    rmSync(temporaryFolder, { recursive: true, force: true });
  });

  const suite = (task: string, changes: Partial<LmEvalSuite> = {}): LmEvalSuite => ({
    ...{ name: task, task, folder: temporaryFolder, limit: null, fewshot: null },
    ...{ metric: null, isChat: false, systemPrompt: null, ...changes },
  });
  const answer = (requests: Parameters<typeof answerRequests>[1]) => {
    const tally = newTally(requests.length);
    const how = { sampler: worker, name: 'tiny', seed: 0, maxRows: null, stopIds, vocabSize, tally };
    return answerRequests(worker, requests, how);
  };

  test.each(['tiny_choice', 'tiny_continuation'])(
    '%s: log-likelihoods, verdicts and numbers are those of lm-eval’s own model',
    async name => {
      const task = await collectRequests(side, suite(name), model);
      const answers = await answer(task.requests);
      const theirs = (expected.samples[name] ?? []).flatMap(({ resps }) =>
        resps.map(([one]) => one as [number, boolean]),
      );
      expect(answers).toHaveLength(theirs.length);
      for (const [i, [sum, isGreedy]] of theirs.entries()) {
        const [ours, likeliest] = answers[i] as [number, boolean];
        expect(ours).toBeCloseTo(sum, 4);
        if (name === 'tiny_continuation') expect(likeliest).toBe(isGreedy);
      }
      const { verdicts, metrics } = await scoreAnswers(side, task, answers, null);
      expect(verdicts.map(({ id }) => id)).toEqual(
        expected.samples[name]?.map(({ doc_hash }) => doc_hash.slice(0, 16)),
      );
      expect(verdicts.map(({ score }) => score)).toEqual(
        expected.samples[name]?.map(({ acc }) => Number(acc)),
      );
      for (const [key, value] of Object.entries(metrics)) {
        const theirs = Number(expected.results[name]?.[key]);
        if (!key.includes('stderr'))
          expect(Math.abs(value - theirs)).toBeLessThan(1e-5 * Math.max(1, theirs));
      }
      expect(metrics).toHaveProperty('acc,none');
    },
  );

  test('words are what its own model writes, cut at what ends them, and its files have its own shape', async () => {
    const task = await collectRequests(side, suite('tiny_words'), model);
    const output = { path: temporaryDirectory(), name: 'tiny' };
    const { verdicts } = await scoreAnswers(side, task, await answer(task.requests), output);
    expect(verdicts.map(({ answer: said }) => said)).toEqual(
      expected.samples.tiny_words?.map(({ resps }) => resps[0]?.[0]),
    );
    const files = readdirSync(join(output.path, 'tiny'));
    const read = (start: string) =>
      readFileSync(join(output.path, 'tiny', files.find(file => file.startsWith(start)) ?? ''), 'utf8');
    expect(JSON.parse(read('results_'))).toMatchObject({
      results: { tiny_words: { alias: 'tiny_words', 'exact_match,none': 0 } },
      configs: { tiny_words: { output_type: 'generate_until' } },
      'n-samples': { tiny_words: { original: 2, effective: 2 } },
      config: { model: 'tms', model_args: { pretrained: 'tiny' } },
    });
    expect(JSON.parse(read('samples_tiny_words_').split('\n')[0] ?? '')).toMatchObject({
      doc: data.words[0],
      arguments: { gen_args_0: { arg_0: 'Q: 1+1\nA:' } },
    });
  });

  test('a text longer than the model is read in the windows of its own model, without a verdict on it', async () => {
    const task = await collectRequests(side, suite('tiny_text'), model);
    expect([task.metric, task.questions, task.requests.length]).toEqual([null, [], 3]);
    const { metrics } = await scoreAnswers(side, task, await answer(task.requests), null);
    expect(metrics['bits_per_byte,none']).toBeCloseTo(
      Number(expected.results.tiny_text?.['bits_per_byte,none']),
      5,
    );
  });

  test.each([
    [{ task: 'tiny_chioce' }, /has no such task/, 'did you mean lm_eval:tiny_choice?'],
    [
      { metric: 'f1' },
      /no metric f1, but acc,none, acc_norm,none/,
      'choose one with metric, or another task',
    ],
  ])('%o is refused with what there is', async (changes, message, fix) => {
    const failure = await collectRequests(side, suite('tiny_choice', changes), model).catch(
      (error: unknown) => error,
    );
    expect((failure as Error).message).toMatch(message);
    expect(failure).toMatchObject({ fix, exitCode: 3 });
  });

  test('data that are not there are named', async () => {
    writeFileSync(
      join(temporaryFolder, 'gone.yaml'),
      readFileSync(join(temporaryFolder, 'words.yaml'), 'utf8').replaceAll('words', 'gone'),
    );
    await expect(collectRequests(side, suite('tiny_gone'), model)).rejects.toThrow(
      /its data cannot be loaded: .*gone\.jsonl/,
    );
  });
});
