/**
 * What makes two runs, two models, two owners of a lock the same. An input that a result depends on and that is in no key serves an old
 * result; one that a resume does not compare mixes two. Tests marked `fails` say what is right and is not yet so, each with its reason;
 * one that begins to pass tells its author to take the mark off.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asCall, type Channel } from '../../src/worker/channel.ts';
import {
  interruptedRun,
  readRecord,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { examples, smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
const resume = (run: { home: string; settings: Settings }, channel?: Channel) =>
  recordRun(folder, run.settings, { home: run.home, resume: true, ...(channel && { channel }) });

/** An evaluation set in a file of its own, so that a test may change it. */
function setOf(name: string, rows: readonly object[]): { path: string; settings: Settings } {
  const path = writeRows(folder, `${name}.jsonl`, rows);
  const sets = [{ name: 'say', path, columns: { answer: 'completion' }, max_new_tokens: 5 }];
  return { path, settings: { eval: { sets }, pld: { size: 0 }, kl: { size: 0 } } };
}

const itemsOf = (output: string, name: string): string[] =>
  readRecord(output, 'evaluation', `${name}.json`).sets[0].items.map(({ id }: { id: string }) => id);

describe('a resume', () => {
  it.each<[string, Settings]>([
    ['learning_rate', { learning_rate: 0.5 }],
    ['seed', { seed: 8 }],
    ['tms.alpha', { tms: { alpha: 0.5 } }],
    ['tms.temperature', { tms: { temperature: 0.5 } }],
    ['pld.size', { pld: { size: 1 } }],
    ['weight_decay', { weight_decay: 0.1 }],
  ])('is refused with another %s', async (_, changed) => {
    const run = await interruptedRun(folder, smallRun(folder), { verb: 'optimStep', count: 4 });
    const settings = { ...smallRun(folder, changed), output_dir: run.output };
    await expect(resume({ ...run, settings })).rejects.toMatchObject({
      exitCode: 3,
      message: /configuration.* changed/s,
    });
  });

  it('is refused with other data, training or held out, and nothing is lost by that', async () => {
    const own = join(folder, 'own');
    const run = await interruptedRun(folder, smallRun(own), { verb: 'optimStep', count: 4 });
    for (const name of ['train.jsonl', 'test.jsonl']) {
      const text = readFileSync(join(own, name), 'utf8');
      writeFileSync(
        join(own, name),
        text.replace('"completion":"ba"', '"completion":"ca"').replace('"bb"', '"bc"'),
      );
      await expect(resume(run), name).rejects.toMatchObject({ exitCode: 3, message: /data.* changed/s });
      writeFileSync(join(own, name), text);
    }
    const [resumed, whole] = [await resume(run), await recordRun(folder, smallRun(folder))];
    const student = (output: string) => readFileSync(join(output, 'models/student/toy-model.json'), 'utf8');
    expect(student(resumed.output)).toBe(student(whole.output));
  });

  it('goes on with another name and other states to save', async () => {
    const run = await interruptedRun(folder, smallRun(folder), { verb: 'optimStep', count: 4 });
    await resume({
      ...run,
      settings: { ...run.settings, run_name: 'b', save_steps: 2, save_total_limit: null },
    });
    expect(readRecord(run.output, 'run.json').status).toBe('finished');
  });

  // Cases 09, chaos.md C6: what is measured is no part of a run's identity.
  it('is refused, or measures the base again, when an evaluation set was edited', async () => {
    const set = setOf('edited', examples.slice(0, 4));
    const run = await interruptedRun(folder, smallRun(folder, set.settings), { verb: 'optimStep', count: 1 });
    writeRows(folder, 'edited.jsonl', examples.slice(0, 5));
    const outcome = await resume(run).catch((error: unknown) => error);
    if (outcome instanceof Error)
      expect(outcome).toMatchObject({ exitCode: 3, message: expect.stringContaining(set.path) });
    else expect(itemsOf(run.output, 'base-step-000000')).toEqual(itemsOf(run.output, 'student-step-000009'));
  });

  // Cases 27, chaos.md C6: the same of a scorer.
  it('is refused, or measures the base again, when a scorer was edited', async () => {
    const set = setOf('scored', examples.slice(0, 4));
    const script = join(folder, 'score.sh');
    const [say] = (set.settings.eval as { sets: Settings[] }).sets;
    const scored = { eval: { sets: [{ ...say, scorer: 'command', command: ['sh', script] }] } };
    writeFileSync(script, 'sed "s/.*/0/"');
    const run = await interruptedRun(folder, smallRun(folder, scored), { verb: 'optimStep', count: 1 });
    writeFileSync(script, 'sed "s/.*/1/"');
    const outcome = await resume(run).catch((error: unknown) => error);
    if (outcome instanceof Error) return expect(outcome).toMatchObject({ exitCode: 3 });
    const accuracyOf = (name: string) =>
      readRecord(run.output, 'evaluation', `${name}.json`).sets[0].accuracy;
    expect([accuracyOf('base-step-000000'), accuracyOf('student-step-000009')]).toEqual([1, 1]);
  });
});

describe('two runs at once', () => {
  it('keep one checkpoint: who comes second takes what is there', async () => {
    const toy = new ToyChannel();
    const quicker: Channel = {
      call: (verb, params, tensors, options) => {
        if (verb !== 'save') return toy.call(verb, params, tensors, options);
        const other = toy.call(verb, params, tensors); // the other run saves the same weights a moment before
        return asCall(
          0,
          other.then(() => toy.call(verb, params, tensors, options)),
        );
      },
      close: () => toy.close(),
    };
    const keeping: Channel = {
      call: (verb, params, tensors, options) => {
        const isShared = verb === 'save' && /\/step-\d+$/.test((params as { path: string }).path);
        return (isShared ? quicker : toy).call(verb, params, tensors, options);
      },
      close: () => toy.close(),
    };
    const { output } = await recordRun(folder, smallRun(folder), { channel: keeping });
    expect(readRecord(output, 'run.json').status).toBe('finished');
  });
});

describe('a lock that its owner left', () => {
  /** An interrupted run with a lock such as `change` makes of one that a run holds; the lock was last touched an hour ago. */
  async function lockedRun(change: (owner: Record<string, unknown>) => string) {
    const run = await interruptedRun(folder, smallRun(folder), { verb: 'optimStep', count: 4 });
    const lock = join(run.output, 'lock');
    const copy = join(folder, `lock-${Math.random().toString(36).slice(2)}`);
    const held = () => existsSync(lock) && !existsSync(copy) && cpSync(lock, copy, { recursive: true });
    const controller = new AbortController();
    await expect(
      recordRun(folder, run.settings, {
        home: run.home,
        resume: true,
        signal: controller.signal,
        onCall: verb => {
          held();
          if (verb === 'optimStep') controller.abort(new Error('interrupted'));
        },
      }),
    ).rejects.toMatchObject({ exitCode: 130 });
    cpSync(copy, lock, { recursive: true });
    const owner = join(lock, 'owner.json');
    writeFileSync(owner, change(JSON.parse(readFileSync(owner, 'utf8'))));
    const hourAgo = Date.now() / 1000 - 3600;
    for (const path of [owner, lock]) utimesSync(path, hourAgo, hourAgo);
    return run;
  }

  it('by a process that is gone is taken over', async () => {
    const child = spawn('true');
    await new Promise(resolve => child.once('exit', resolve));
    const run = await lockedRun(owner => JSON.stringify({ ...owner, pid: child.pid }));
    await resume(run);
    expect(readRecord(run.output, 'run.json').status).toBe('finished');
  });

  // Case 22, chaos.md C3: a process is named by its number alone, and numbers are used again.
  it('is taken over where its number is now that of another process', async () => {
    const other = spawn('sleep', ['600']);
    try {
      const run = await lockedRun(owner => JSON.stringify({ ...owner, pid: other.pid }));
      await resume(run);
    } finally {
      other.kill();
    }
  });

  // chaos.md C3: a container that is started again has its old number, often 1, and is told that it is in its own way.
  it('is taken over where its number is now our own', async () => {
    await resume(
      await lockedRun(owner =>
        JSON.stringify({ ...owner, pid: process.pid, since: '2020-01-01T00:00:00.000Z' }),
      ),
    );
  });

  // chaos.md C3: a requeued job runs on another host; there is no sign of life but the file.
  it('is taken over where another host has shown no sign of life for an hour', async () => {
    await resume(await lockedRun(owner => JSON.stringify({ ...owner, host: `not-${hostname()}` })));
  });

  // chaos.md C3: a power cut leaves an empty owner.json, since it is not flushed.
  it('is taken over where nothing says who its owner was', async () => {
    await resume(await lockedRun(() => ''));
  });
});
