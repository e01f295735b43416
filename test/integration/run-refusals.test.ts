/** What `tms run` refuses, and what a run that fails leaves: the toy worker in this process, real files. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import type { RunConfig } from '../../src/config/schema.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { checkDisk } from '../../src/runner/check-disk.ts';
import { executeRun } from '../../src/runner/execute.ts';
import { asCall, type Channel } from '../../src/worker/channel.ts';
import type { VerbName } from '../../src/worker/protocol.ts';
import { Worker } from '../../src/worker/worker.ts';
import { WorkerError } from '../../src/worker/worker-error.ts';
import { ToyChannel } from '../support/toy-worker.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'refusals-'));
  const rows = Array.from({ length: 24 }, (_, i) => ({
    prompt: `say ${i}: `,
    completion: 'abc'.repeat(1 + (i % 2)),
  }));
  writeFileSync(join(folder, 'train.jsonl'), rows.map(row => `${JSON.stringify(row)}\n`).join(''));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Options = {
  name: string;
  method?: string;
  channel?: Channel;
  resume?: boolean;
  checkpoints?: number;
  signal?: AbortSignal;
};

async function run({
  name,
  method,
  channel = new ToyChannel(),
  resume = false,
  checkpoints = 2,
  signal,
}: Options): Promise<string> {
  const output = join(folder, name);
  const text = `model_name_or_path: "toy:1"
dataset_name: ${join(folder, 'train.jsonl')}
test_size: 4
output_dir: ${output}
learning_rate: 0.1
num_train_epochs: 2
per_device_train_batch_size: 5
max_length: 40
save_steps: 3
tms: {num_checkpoints: ${checkpoints}, max_new_tokens: 8, max_fallback_fraction: 1}
eval: {sets: [{name: say, path: ${join(folder, 'train.jsonl')}, columns: {answer: completion}, limit: 4, max_new_tokens: 8}]}
pld: {size: 4}
kl: {size: 2}
eval_points: 2
`;
  const config = parseConfig(text, 'test.yaml');
  await executeRun(method === undefined ? config : ({ ...config, method } as unknown as RunConfig), {
    worker: new Worker(channel),
    home: join(folder, `${name}-home`),
    progress: { update: () => {}, say: () => {} },
    signal: signal ?? new AbortController().signal,
    input: text,
    tmsVersion: 'test',
    resume,
  });
  return output;
}

const read = (...parts: string[]) => readFileSync(join(...parts), 'utf8');
const statusOf = (output: string) => JSON.parse(read(output, 'run.json'));

describe('refused before anything is written', () => {
  it('more checkpoints than steps', async () => {
    await expect(run({ name: 'many', checkpoints: 9 })).rejects.toMatchObject({
      message: 'tms.num_checkpoints is 9, but the SFT run has only 8 steps',
      exitCode: 3,
    });
    expect(existsSync(join(folder, 'many'))).toBe(false);
  });

  it('a method that does not exist, whatever else is right: nothing is trained in its place', async () => {
    await expect(run({ name: 'dpo', method: 'dpo' })).rejects.toThrow('there is no method dpo');
    expect(existsSync(join(folder, 'dpo'))).toBe(false);
  });

  it('an output directory with something else in it', async () => {
    mkdirSync(join(folder, 'other'));
    writeFileSync(join(folder, 'other', 'thesis.tex'), '');
    await expect(run({ name: 'other' })).rejects.toMatchObject({
      message: /is not empty and holds no run of tms/,
      exitCode: 3,
    });
    expect(readdirSync(join(folder, 'other'))).toEqual(['thesis.tex']);
  });

  it('a finished run, with the ways on; and a resume where there is none', async () => {
    const output = await run({ name: 'finished' });
    expect(statusOf(output).status).toBe('finished');
    await expect(run({ name: 'finished' })).rejects.toMatchObject({
      message: /holds a run already \(finished\)/,
      fix: /--set output_dir=NEW/,
    });
    await expect(run({ name: 'nothing', resume: true })).rejects.toMatchObject({
      message: /holds no run to resume/,
    });
  });

  it('a disk that cannot hold the plan', () => {
    const disk = { inRunAtMost: 0, inStoreAtMost: 2 ** 60, checkpointBytes: 2 ** 60 } as Plan['disk'];
    const places = { output: join(folder, 'big'), home: folder, hasCheckpoints: false };
    expect(() => checkDisk({ disk }, places)).toThrow(/free, and this run may take/);
    expect(() => checkDisk({ disk }, { ...places, hasCheckpoints: true })).not.toThrow();
  });
});

/** Rejects everything from the n-th call of a verb on, as a worker that died does. */
class DyingChannel implements Channel {
  readonly #toy = new ToyChannel();
  readonly #verb: VerbName;
  #left: number;

  constructor(verb: VerbName, calls: number) {
    this.#verb = verb;
    this.#left = calls;
  }

  call: Channel['call'] = (verb, params, tensors, options) => {
    if (verb === this.#verb || this.#left <= 0) this.#left -= 1;
    if (this.#left > 0) return this.#toy.call(verb, params, tensors, options);
    return asCall(
      0,
      Promise.reject(new WorkerError('WORKER_DIED', 'the worker process was killed by SIGKILL', { verb })),
    );
  };

  close(): Promise<void> {
    return this.#toy.close();
  }
}

describe('a worker that dies', () => {
  it.each([
    ['while the base is sampled', 'generate', 1],
    ['in the SFT run', 'forwardBackward', 2],
    ['while a checkpoint is saved', 'save', 2],
    ['while answers are generated', 'generate', 4],
    ['in the student', 'forwardBackward', 13],
    ['in the last evaluation', 'forward', 9],
  ] as const)(
    '%s fails the run with a reason, and a resume ends in the same bytes',
    async (when, verb, calls) => {
      const name = `died-${verb}-${calls}`;
      await expect(run({ name, channel: new DyingChannel(verb, calls) }), when).rejects.toMatchObject({
        code: 'WORKER_DIED',
      });
      const output = join(folder, name);
      expect(statusOf(output)).toMatchObject({ status: 'failed', error: /killed by SIGKILL/ });
      await run({ name, resume: true });
      expect(statusOf(output).status).toBe('finished');
      const whole = existsSync(join(folder, 'whole')) ? join(folder, 'whole') : await run({ name: 'whole' });
      for (const file of [
        'metrics.jsonl',
        'curriculum.jsonl',
        'models/student/toy-model.json',
        'answers/student/sft-step-000008.jsonl',
      ])
        expect(read(output, file), file).toBe(read(whole, file));
    },
  );
});

it('an interrupt stops at a safe point with exit code 130, and a resume goes on', async () => {
  const controller = new AbortController();
  const channel = new ToyChannel();
  const watching: Channel = {
    call: (verb, params, tensors, options) => {
      if (verb === 'optimStep') controller.abort(new Error('interrupted'));
      return channel.call(verb, params, tensors, options);
    },
    close: () => channel.close(),
  };
  await expect(run({ name: 'stopped', channel: watching, signal: controller.signal })).rejects.toMatchObject({
    exitCode: 130,
    fix: /tms resume .*stopped/,
  });
  expect(statusOf(join(folder, 'stopped')).status).toBe('interrupted');
  expect(statusOf(await run({ name: 'stopped', resume: true })).status).toBe('finished');
});
