/** `tms eval` below its command line: suites on the toy, whose weights are named by a seed. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { writeEvaluation } from '../../src/cli/eval-files.ts';
import { compareModels, modelTable } from '../../src/report/model-comparison.ts';
import type { SetRecord } from '../../src/run/records.ts';
import { type Measurement, measureModels } from '../../src/runner/measure-model.ts';
import { asCall, type Call, type Reply } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import { Worker } from '../../src/worker/worker.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const rows = Array.from({ length: 6 }, (_, i) => ({
  goal: `do ${i}`,
  choices: [`a${i}`, `zz${i}`],
  label: i % 2,
}));
const jsonl = (name: string, records: readonly object[]) =>
  temporaryFile(name, records.map(row => `${JSON.stringify(row)}\n`).join(''));

function measurement(suites: readonly object[]): Measurement & { readonly said: string[] } {
  const worker = new Worker(new ToyChannel());
  onTestFinished(() => worker.close());
  const said: string[] = [];
  const never = () => Promise.reject(new Error('no task of lm-eval is asked'));
  return {
    ...{ suites, folder: null, systemPrompt: null, isChat: null, seed: 0, worker, said },
    lmEval: { call: never, close: async () => {} },
    home: temporaryDirectory(),
    progress: { say: line => said.push(line), update: () => {} },
    signal: new AbortController().signal,
  };
}

async function measureOne(model: string, asked: Measurement) {
  const [measured] = await measureModels([{ options: { model }, lmEvalOutput: null }], asked);
  return measured as NonNullable<typeof measured>;
}

describe('a model', () => {
  test('is asked every suite; what is known of its weights is not asked again', async () => {
    const path = jsonl('piqa.jsonl', rows);
    const asked = measurement([
      { name: 'piqa', path, limit: 4 },
      {
        name: 'lambada',
        path: jsonl('l.jsonl', [{ context: 'one two', target: 'three' }]),
        max_new_tokens: 3,
      },
    ]);
    const first = await measureOne('toy:1', asked);
    expect(first.sets.map(({ record }) => [record.name, record.scorer, record.items.length])).toEqual([
      ['piqa', 'multiple_choice', 4],
      ['lambada', 'lambada', 1],
    ]);
    expect(first.sets[0]?.questions.map(({ id }) => id)).toEqual(
      first.sets[0]?.record.items.map(({ id }) => id),
    );
    expect(asked.said.filter(line => line.includes('in the store'))).toEqual([]);
    const again = await measureOne('toy:1', asked);
    expect(asked.said.filter(line => line.includes('in the store'))).toHaveLength(2);
    expect(again.sets).toEqual(first.sets);
    await measureOne('toy:2', asked);
    expect(asked.said.filter(line => line.includes('in the store'))).toHaveLength(2);
  });

  test('without the data of a suite is refused with the file that is not there', async () => {
    const asked = measurement([{ name: 'piqa', path: temporaryDirectory() }]);
    await expect(measureOne('toy:1', asked)).rejects.toThrow(/piqa\/validation\.jsonl/);
  });
});

const setOf = (name: string, verdicts: string, more: Partial<SetRecord> = {}): SetRecord => ({
  ...{
    name,
    role: 'retention',
    scorer: 'multiple_choice',
    scorerVersion: 2,
    sampledAccuracy: null,
    unfinished: 0,
  },
  accuracy: [...verdicts].filter(one => one === '1').length / verdicts.length,
  items: [...verdicts].map((one, i) => ({ id: `${i}`, isCorrect: one === '1', answer: `said ${i}` })),
  ...more,
});

/** The toy, whose `toy:2` has no chat template; `asked`: in which way each model is asked. */
class TwoToys extends ToyChannel {
  readonly asked: string[] = [];
  #model = '';

  override call<V extends VerbName>(verb: V, params: Params<V>, ...rest: unknown[]): Call<Reply<V>> {
    if (verb === 'load') this.#model = (params as Params<'load'>).model;
    if (verb === 'encode')
      for (const one of (params as Params<'encode'>).examples)
        this.asked.push(`${this.#model} ${typeof one.prompt === 'string' ? 'text' : 'chat'}`);
    const call = super.call(verb, params, ...(rest as []));
    if (this.#model !== 'toy:2' || verb !== 'load') return call;
    const reply = call.then(({ result, ...others }) => ({
      ...others,
      result: { ...result, hasChatTemplate: false },
    }));
    return asCall(call.id, reply);
  }
}

describe('two models of which one has a chat template', () => {
  const ask = async (base: string, tuned: string, how: { isChat?: boolean; as_chat?: boolean } = {}) => {
    const path = jsonl('gsm8k.jsonl', [{ question: '1 + 1?', answer: '#### 2' }]);
    const { isChat = null, ...said } = how;
    const channel = new TwoToys();
    const worker = new Worker(channel);
    onTestFinished(() => worker.close());
    const suites = [{ name: 'gsm8k', path, max_new_tokens: 2, num_fewshot: 0, ...said }];
    const models = [base, tuned].map(model => ({ options: { model }, lmEvalOutput: null }));
    const run = measureModels(models, { ...measurement(suites), worker, isChat });
    await run.catch(() => {});
    return { run, asked: channel.asked };
  };

  test('are refused before anything is asked where nothing says how', async () => {
    const { run, asked } = await ask('toy:1', 'toy:2');
    await expect(run).rejects.toMatchObject({
      message:
        'toy:1 has a chat template and toy:2 has no chat template: they would be asked different prompts',
      fix: expect.stringContaining('--no-chat'),
    });
    expect(asked).toEqual([]);
  });

  test.for([
    ['toy:1', 'toy:2', { isChat: false }, 'text'],
    ['toy:1', 'toy:2', { as_chat: false }, 'text'],
    ['toy:1', 'toy:3', {}, 'chat'],
    ['toy:2', 'toy:2', {}, 'text'],
  ] as const)('%s and %s with %o are both asked as %s', async ([base, tuned, how, way]) => {
    expect((await ask(base, tuned, how)).asked).toEqual([`${base} ${way}`, `${tuned} ${way}`]);
  });
});

describe('two models', () => {
  const base = [setOf('one', '1111100000'), setOf('two', '11110000')];
  const tuned = [
    setOf('one', '1110010000'),
    setOf('two', '11110000', { measures: { 'acc_norm,none': 0.25 } }),
  ];

  test('are paired item by item: 2 became wrong and 1 right of 10, nothing of 8', () => {
    const { suites, overall } = compareModels(base, tuned, 0.02);
    expect(suites[0]).toMatchObject({
      base: { mean: 0.5 },
      tuned: { mean: 0.4 },
      change: { gained: 1, lost: 2, items: 10 },
      verdict: 'inconclusive',
      flips: { rightToWrong: ['3', '4'], wrongToRight: ['5'] },
    });
    expect(suites[0]?.change?.mean).toBeCloseTo(-0.1, 12);
    expect(overall.change?.mean).toBeCloseTo(-0.05, 12); // (−0.1 + 0) / 2
    const text = modelTable({ suites, overall, margin: 0.02 }).join('\n');
    expect(text).toMatch(/one +10 +\.500 +\.400 .* 1 +2 +inconclusive/);
    expect(text).toContain("two, lm-eval's own numbers:  | acc_norm,none 0.2500");
    expect(text).toContain('two: 0 of 8 items changed');
  });

  test('of which one does not stop are not judged: 2 of 10 answers without an end, 1 is a tenth', () => {
    const of = (unfinished: number) =>
      compareModels(
        base,
        [setOf('one', '1110010000', { scorer: 'exact_match', unfinished }), base[1] as SetRecord],
        0.02,
      );
    expect([of(1), of(2)].map(({ suites, overall }) => [suites[0]?.verdict, overall.verdict])).toEqual([
      ['inconclusive', 'inconclusive'],
      ['not measured', 'not measured'],
    ]);
    expect(of(2).suites[1]?.verdict).toBe('inconclusive');
    expect(modelTable(of(2)).join('\n')).toMatch(/one +10 .* not measured/);
  });

  test('of which the first word counts are judged, however long the model goes on', () => {
    const one = (items: string) => [setOf('one', items, { scorer: 'lambada', unfinished: items.length })];
    expect(compareModels(one('1110010000'), one('1110010000'), 0.02).suites[0]?.verdict).not.toBe(
      'not measured',
    );
    expect(compareModels(one('1'.repeat(400)), one('1'.repeat(400)), 0.02).suites[0]?.verdict).toBe('kept');
  });

  test('alone has accuracies only', () => {
    const { suites, overall } = compareModels(base, null, 0.02);
    expect([suites[0]?.change, suites[0]?.verdict, overall.tuned]).toEqual([null, null, null]);
  });

  test('leave every document and what flipped', async () => {
    const output = join(temporaryDirectory(), 'out');
    const { info } = await measureOne('toy:1', measurement([]));
    const named = [base, tuned].map((sets, i) => ({
      ...{ label: i === 0 ? 'base' : 'tuned', model: `toy:${i}` },
      measured: {
        info,
        sets: sets.map(record => ({
          record,
          questions: record.items.map(({ id }) => ({
            id,
            line: 1,
            prompt: `ask ${id}`,
            gold: 'g',
            record: {},
          })),
        })),
      },
    }));
    writeEvaluation(output, named, compareModels(base, tuned, 0.02));
    const lines = (file: string) =>
      readFileSync(join(output, file), 'utf8')
        .trim()
        .split('\n')
        .map(line => JSON.parse(line));
    expect(lines('flips.jsonl').map(({ id, direction }) => [id, direction])).toEqual([
      ['3', 'right→wrong'],
      ['4', 'right→wrong'],
      ['5', 'wrong→right'],
    ]);
    expect(lines('base/one.jsonl')[3]).toEqual({
      id: '3',
      line: 1,
      prompt: 'ask 3',
      gold: 'g',
      answer: 'said 3',
      isCorrect: true,
    });
    expect(JSON.parse(readFileSync(join(output, 'evaluation.json'), 'utf8'))).toMatchObject({
      models: { tuned: { model: 'toy:1' } },
      suites: [{ name: 'one', verdict: 'inconclusive' }, { name: 'two' }],
    });
    expect(existsSync(join(output, 'report.md'))).toBe(true);
  });
});
