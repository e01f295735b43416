/** Samplers beside the worker that trains: the same run as with that worker alone, whatever their number, and whoever of them dies. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sha256OfText } from '../../src/files/digest.ts';
import { asCall, type Call, type CallOptions, type Channel, type Reply } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';
import { Worker } from '../../src/worker/worker.ts';
import { WorkerError } from '../../src/worker/worker-error.ts';
import {
  callsOf,
  filesIn,
  type RunSurroundings,
  readRecord,
  recordRun,
  workFolder,
} from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
const varying = /^(run\.json|timing|ledger|config\.|environment|plan)/;

/** A toy that notes what it is asked, and is gone from its `dies`-th request for answers on. */
class Sampler implements Channel {
  readonly asked: VerbName[] = [];
  readonly prompts: string[] = [];
  readonly #inner = new ToyChannel();
  waitsFor: Promise<void> = Promise.resolve();
  /** The log-probabilities that come with its answers are wrong. */
  isOff = false;
  /** From which request for answers on its replies name other weights. */
  othersFrom = Number.POSITIVE_INFINITY;
  /** Log-probabilities are of other weights so often. */
  lies = 0;
  #left: number;

  constructor(dies = Number.POSITIVE_INFINITY) {
    this.#left = dies;
  }

  call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors: Tensors = {},
    options?: CallOptions,
  ): Call<Reply<V>> {
    this.asked.push(verb);
    if (verb === 'generate' && --this.#left <= 0) {
      return asCall(
        1,
        Promise.reject(new WorkerError('WORKER_DIED', 'the worker process killed by SIGKILL', { verb })),
      );
    }
    if (verb === 'generate') this.prompts.push(`${tensors.ids?.data} ${tensors.seeds?.data}`);
    if (verb === 'forward' && this.lies-- > 0)
      return asCall(1, this.#inner.call(verb, params, tensors, options).then(lower));
    if (verb !== 'generate') return this.#inner.call(verb, params, tensors, options);
    return asCall(
      1,
      this.waitsFor
        .then(() => this.#inner.call(verb, params, tensors, options))
        .then(reply => (this.isOff ? lower(reply) : reply))
        .then(reply => (this.prompts.length >= this.othersFrom ? ofOthers(reply) : reply)),
    );
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** With log-probabilities that are half a nat lower. */
function lower<V extends VerbName>(reply: Reply<V>): Reply<V> {
  const logprobs = reply.tensors.logprobs as Tensors[string];
  const data = Float32Array.from(logprobs.data as Float32Array, value => value - 0.5);
  return { ...reply, tensors: { ...reply.tensors, logprobs: { ...logprobs, data } } };
}

function ofOthers<V extends VerbName>(reply: Reply<V>): Reply<V> {
  return { ...reply, result: { ...reply.result, weightsDigest: 'f'.repeat(64) } };
}

/** One prompt a message: what came before a death was answered. */
const oneByOne = { headerBytes: 1 << 20, tensorBytes: 1 };

/** Digests of every file that must be the same. */
const digestsOf = (output: string) =>
  Object.fromEntries(
    Object.entries(filesIn(output)).flatMap(([name, text]) =>
      varying.test(name) ? [] : [[name, sha256OfText(text)]],
    ),
  );

const settings = (workers: number | null, more: object = {}) =>
  smallRun(folder, {
    eval: { sets: [saySet(folder)] },
    kl: { size: 2 },
    sampler: { workers },
    ...more,
  });

async function runWith(samplers: readonly Sampler[], more: object = {}, surroundings: RunSurroundings = {}) {
  const startSampler = (index: number) => Promise.resolve(new Worker(samplers[index] as Sampler, oneByOne));
  const run = await recordRun(folder, settings(samplers.length, more), { ...surroundings, startSampler });
  return { said: run.said, calls: run.calls, output: run.output, files: digestsOf(run.output) };
}

let alone: Promise<Record<string, string>> | undefined;
function filesAlone(): Promise<Record<string, string>> {
  alone ??= recordRun(folder, settings(null)).then(({ output }) => digestsOf(output));
  return alone;
}

it.each([1, 2, 3])(
  '%i of them: every file is what the training worker makes alone, which samples nothing',
  async count => {
    const samplers = Array.from({ length: count }, () => new Sampler());
    const { files, calls } = await runWith(samplers);
    expect(files).toEqual(await filesAlone());
    expect(Object.keys(files)).toEqual(expect.arrayContaining(['answers/student/sft-step-000003.jsonl']));
    expect(callsOf(calls, 'generate')).toEqual([]);
    for (const { asked } of samplers) expect(asked).toContain('generate');
    const prompts = samplers.flatMap(sampler => sampler.prompts);
    expect(prompts.length).toBeGreaterThan(10);
  },
);

it('a checkpoint answers while training goes on', async () => {
  const sampler = new Sampler();
  let steps = 0;
  let goOn = () => {};
  // θ₃ answers only once step 4 is asked for: a trainer that waited for its answers would never get there.
  sampler.waitsFor = new Promise(resolve => {
    goOn = resolve;
  });
  const onCall = (verb: VerbName) => {
    if (verb === 'optimStep' && ++steps === 4) goOn();
  };
  const { files } = await runWith([sampler], { eval: { sets: [] }, kl: { size: 0 } }, { onCall });
  const same = Object.entries(await filesAlone()).filter(([name]) =>
    /^(answers|models|curriculum)/.test(name),
  );
  expect(same.length).toBeGreaterThan(5);
  expect(files).toMatchObject(Object.fromEntries(same));
});

it('what a dead one leaves the others do, and what it gave is not asked again', async () => {
  const [first, second] = [new Sampler(4), new Sampler()];
  const { files, said } = await runWith([first, second]);
  expect(files).toEqual(await filesAlone());
  expect(said.filter(line => line.includes('is lost'))).toEqual([
    expect.stringMatching(/^sampler 1 of 2 is lost, the others do its work: .*killed by SIGKILL/),
  ]);
  expect(first.prompts).toHaveLength(3);
  const ofOne = new Sampler();
  await runWith([ofOne]);
  expect([...first.prompts, ...second.prompts].sort()).toEqual([...ofOne.prompts].sort());
});

it('the last one dead ends the run with one error, and a resume asks only for what did not come', async () => {
  const dying = [new Sampler(12), new Sampler(8)];
  const output_dir = `${folder}/all-dead`;
  const home = `${folder}/home-of-all-dead`;
  await expect(runWith(dying, { output_dir }, { home })).rejects.toMatchObject({
    message: expect.stringMatching(/^all 2 samplers are lost, asked for answers of .*; the first: .*SIGKILL/),
    fix: expect.stringContaining('tms resume'),
  });
  expect(readdirSync(output_dir)).not.toContain('samplers');
  const living = [new Sampler(), new Sampler()];
  const { files } = await runWith(living, { output_dir }, { home, resume: true });
  expect(files).toEqual(await filesAlone());
});

it('those that do not stay alive are there only while they answer, and the training waits', async () => {
  const log: string[] = [];
  const startSampler = () => {
    const sampler = new Sampler();
    log.push('start');
    const end = sampler.close.bind(sampler);
    sampler.close = () => {
      log.push('end');
      return end();
    };
    return Promise.resolve(new Worker(sampler));
  };
  const onCall = (verb: VerbName) => void (verb === 'optimStep' && log.push(verb));
  const run = settings(1, { sampler: { workers: 1, keep_alive: false } });
  const { output } = await recordRun(folder, run, { startSampler, onCall });
  expect(digestsOf(output)).toEqual(await filesAlone());
  const told = log.join(' ');
  expect(log.filter(line => line === 'start').length).toBeGreaterThan(3);
  expect(told).not.toMatch(/start optimStep|start start/);
});

it('weights that are not what was loaded are found by their log-probabilities: one new start mends it, or the run ends', async () => {
  const [stale, fresh] = [new Sampler(), new Sampler()];
  stale.lies = 1;
  const starts = [stale, fresh];
  const startSampler = () => Promise.resolve(new Worker(starts.shift() as Sampler));
  const { output, said } = await recordRun(folder, settings(1), { startSampler });
  expect(digestsOf(output)).toEqual(await filesAlone());
  expect(stale.asked).not.toContain('generate');
  expect(said).toContainEqual(
    expect.stringMatching(
      /^note: the weights in the sampler are not the base: .*differ by 0\.50 nats .*it is started anew$/,
    ),
  );
  // Of what was loaded in the end.
  expect(readRecord(output, 'environment.json').notes.at(-1)).toMatch(
    /^Samplers against the trainer.* tokens differ by 0 nats on average and 0 at most; about 0\.0 % of sampled tokens/,
  );
  const liars = [new Sampler(), new Sampler()];
  for (const liar of liars) liar.lies = 9;
  const again = () => Promise.resolve(new Worker(liars.shift() as Sampler));
  await expect(recordRun(folder, settings(1), { startSampler: again })).rejects.toThrow(
    /^the weights in the sampler are not the base: /,
  );
});

it('where one of them cannot be had, those that can are ended, and the run ends with its error', async () => {
  const first = new Sampler();
  let ends = 0;
  first.close = async () => void ends++;
  const blind = new WorkerError('NOT_FOUND', 'the worker does not see /runs of this machine');
  const startSampler = (index: number) =>
    index === 0 ? Promise.resolve(new Worker(first)) : Promise.reject(blind);
  await expect(recordRun(folder, settings(2), { startSampler })).rejects.toBe(blind);
  expect(ends).toBe(1);
});

it('answers that came with the digest of other weights do not stay in the store', async () => {
  const few = { eval: { sets: [] }, output_dir: `${folder}/others` };
  const home = `${folder}/home-of-others`;
  const run = settings(1, few);
  const [other, good, only] = [new Sampler(), new Sampler(), new Sampler()];
  other.othersFrom = 3; // the base for KL, the first checkpoint, the second
  const startBy = (sampler: Sampler) => () => Promise.resolve(new Worker(sampler));
  const wrong = recordRun(folder, run, { home, startSampler: startBy(other) });
  await expect(wrong).rejects.toThrow(/^the weights in .* are not those of .*: their digest is ffff/);
  await recordRun(folder, run, { home, resume: true, startSampler: startBy(good) });
  await recordRun(folder, settings(1, { eval: few.eval }), { startSampler: startBy(only) });
  expect(only.prompts.length).toBeGreaterThan(3);
  expect(good.prompts).toEqual(only.prompts.slice(2));
});

it('Ctrl-C ends a run whose samplers are still being started; one that comes later is ended', async () => {
  const late = new Sampler();
  const ended = new Promise<void>(resolve => {
    late.close = async () => resolve();
  });
  const controller = new AbortController();
  let arrive = (_: Worker) => {};
  const startSampler = () => {
    controller.abort(new Error('interrupted'));
    return new Promise<Worker>(resolve => {
      arrive = resolve;
    });
  };
  const { signal } = controller;
  const run = recordRun(folder, settings(1), { startSampler, signal });
  await expect(run).rejects.toMatchObject({ exitCode: 130 });
  arrive(new Worker(late));
  await ended;
});

it('GRPO learns with the trainer’s log-probabilities of what samplers answered', async () => {
  const module = join(folder, 'letters.mjs');
  const text = 'export const score = (_, answer) => Math.min(2, answer.replace(/[^a-z]/g, "").length) / 2;\n';
  writeFileSync(module, text);
  const grpo = {
    method: 'grpo',
    max_steps: 3,
    grpo: { group_size: 3, max_new_tokens: 5, reward: { scorer: 'module', module } },
    eval: { sets: [] },
    kl: { size: 0 },
    tms: {},
  };
  const alone = await recordRun(folder, { ...settings(null, grpo), num_train_epochs: undefined });
  const sampler = new Sampler();
  sampler.isOff = true;
  const { files, output } = await runWith([sampler], grpo);
  expect(readdirSync(output)).not.toContain('samplers');
  // 10 examples in batches of 4, 4 and 2, each answered 3 times.
  expect(sampler.prompts).toHaveLength(10 * 3);
  expect(files).toEqual(digestsOf(alone.output));
});

it.each([
  ['vLLM', { sampler: { backend: 'vllm' } }],
  [
    'a sampler on another machine',
    { sampler: { endpoints: [{ address: 'tcp://10.0.0.5:5555', key: 'a'.repeat(64) }] } },
  ],
  ['placed samplers', { placement: { samplers: { count: 1 } } }],
])('answers and accuracies of %s are never taken for the trainer’s own', async (_, asked) => {
  const home = `${folder}/home-of-engines`;
  const few = { method: 'sft', max_steps: 1, num_train_epochs: undefined, tms: {}, kl: { size: 0 } };
  await recordRun(folder, settings(null, few), { home });
  const samplers: Sampler[] = [];
  const startSampler = (index: number) => {
    samplers[index] = new Sampler();
    return Promise.resolve(new Worker(samplers[index]));
  };
  await recordRun(folder, settings(null, { ...few, ...asked }), { home, startSampler });
  expect(samplers.flatMap(({ prompts }) => prompts)).not.toEqual([]);
  samplers.length = 0;
  await recordRun(folder, settings(null, { ...few, ...asked }), { home, startSampler });
  expect(samplers).toEqual([]);
});

it('samplers that cannot be started here are found missing before anything is begun', async () => {
  const output_dir = join(folder, 'never-begun');
  const run = settings(null, { output_dir, sampler: { backend: 'vllm', python: 'no-such-python' } });
  await expect(recordRun(folder, run)).rejects.toThrow('sampler.python is "no-such-python": no such program');
  expect(existsSync(output_dir)).toBe(false);
});
