/** Disks that refuse, signals, and files that a crash damaged, met by whole runs on the toy worker: always a status, a released lock, and the first error. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { InterruptedError } from '../../src/errors.ts';
import { translateSystemError } from '../../src/files/system-error.ts';
import { asCall, type Channel } from '../../src/worker/channel.ts';
import type { VerbName } from '../../src/worker/protocol.ts';
import { WorkerError } from '../../src/worker/worker-error.ts';
import { callsOf } from '../support/recorded-calls.ts';
import {
  type RecordedRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  stopAt,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
let names = 0;
/** Settings of a run with an output directory of its own. */
function newRun(settings: Settings = {}): Settings & { output_dir: string } {
  names += 1;
  return { ...smallRun(folder, settings), save_steps: 2, output_dir: join(folder, `out-${names}`) };
}

/** For `onCall`: what happens to the world before the n-th request of a verb. */
function changing(verb: VerbName, count: number, change: () => void): (called: VerbName) => void {
  let left = count;
  return called => {
    if (called === verb && --left === 0) change();
  };
}

/** Answers everything but one verb; that one with an error, or not before the request is cancelled, which a load does not even hear. */
function without(verb: VerbName, error: Error | null): Channel {
  const toy = new ToyChannel();
  return {
    call: (called, params, tensors, options) =>
      called !== verb
        ? toy.call(called, params, tensors, options)
        : asCall(
            0,
            error !== null
              ? Promise.reject(error)
              : called === 'load'
                ? new Promise(() => {})
                : cancelled(options?.signal),
          ),
    close: () => toy.close(),
  };
}

function cancelled(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(new WorkerError('CANCELLED', 'cancelled')), {
      once: true,
    });
    if (signal?.aborted) reject(signal.reason);
  });
}

const recordOf = (output: string) => readRecord(output, 'run.json');
const isLocked = (output: string) => existsSync(join(output, 'lock'));

describe('a disk that refuses', () => {
  it('in the midst of a run is one error with path and reason, kept in run.json, and the run can be resumed', async () => {
    const settings = newRun();
    const { output_dir: output } = settings;
    const blocked = join(output, 'answers');
    const onCall = changing('generate', 1, () => writeFileSync(blocked, 'a file is in the way'));
    await expect(recordRun(folder, settings, { onCall })).rejects.toMatchObject({
      name: 'EnvironmentError',
      message: expect.stringMatching(/^cannot write \S+\/answers\S*: .* \((EEXIST|ENOTDIR)\)$/),
      exitCode: 1,
    });
    expect(recordOf(output)).toMatchObject({ status: 'failed', error: expect.stringContaining(blocked) });
    expect(isLocked(output)).toBe(false);
    rmSync(blocked);
    await recordRun(folder, settings, { resume: true });
    expect(recordOf(output).status).toBe('finished');
  });

  it('the record of a run’s end too never hides what ended it', async () => {
    const settings = newRun();
    const { output_dir: output } = settings;
    const onCall = changing('optimStep', 2, () => {
      rmSync(join(output, 'run.json'));
      mkdirSync(join(output, 'run.json'));
    });
    const channel = without('save', new WorkerError('SAVE_FAILED', 'the disk is full'));
    await expect(recordRun(folder, settings, { onCall, channel })).rejects.toMatchObject({
      code: 'SAVE_FAILED',
    });
    expect(isLocked(output)).toBe(false);
  });

  it('an output_dir that cannot be made is refused before a model is loaded', async () => {
    const file = writeRows(folder, 'file', []);
    for (const output_dir of [join(file, 'out'), file]) {
      let loads = 0;
      const onCall = changing('load', 1, () => {
        loads += 1;
      });
      const refused = recordRun(folder, { ...newRun(), output_dir }, { onCall });
      await expect(refused).rejects.toMatchObject({
        exitCode: 3,
        message: expect.stringContaining(output_dir),
      });
      expect(loads).toBe(0);
    }
    const tooLong = { ...newRun(), output_dir: join(folder, 'x'.repeat(256)) };
    await expect(recordRun(folder, tooLong)).rejects.toMatchObject({
      message: expect.stringMatching(/cannot be written: .* the name is too long/),
      exitCode: 3,
    });
  });
});

/** A disk of its own in memory, of so many bytes; null where this user may not mount one. */
function smallDisk(size: string): string | null {
  const place = join(folder, `disk-${size}`);
  mkdirSync(place);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', place]).status !== 0) return null;
  onTestFinished(() => void spawnSync('umount', ['-l', place]));
  return place;
}

/** Take all that is left. */
function fill(place: string): void {
  const { bsize } = statfsSync(place);
  for (let file = 0; statfsSync(place).bavail > 0; file++)
    writeFileSync(join(place, `ballast-${file}`), Buffer.alloc(bsize * statfsSync(place).bavail));
}

describe.runIf(process.getuid?.() === 0)('a real disk', () => {
  it('that is full says so with the bytes left, in run.json too, and the run goes on when there is room', async context => {
    const place = smallDisk('256m');
    if (place === null) return context.skip();
    const settings = { ...newRun(), output_dir: join(place, 'out') };
    const output = settings.output_dir;
    const onCall = changing('generate', 1, () => fill(place));
    await expect(recordRun(folder, settings, { onCall })).rejects.toMatchObject({
      message: expect.stringMatching(
        /^cannot (write|open) \S+: the disk is full \(ENOSPC\); \d+ bytes are free there$/,
      ),
      fix: expect.stringContaining('tms store prune'),
    });
    expect(recordOf(output)).toMatchObject({ status: 'failed', error: expect.stringContaining('ENOSPC') });
    expect(isLocked(output)).toBe(false);
    for (const name of readdirSync(place)) if (name.startsWith('ballast')) rmSync(join(place, name));
    await recordRun(folder, settings, { resume: true });
    expect(recordOf(output)).toMatchObject({ status: 'finished', error: null });
  });

  it('that becomes read-only is named, though not even the lock can be removed', async context => {
    const place = smallDisk('257m');
    if (place === null) return context.skip();
    const settings = { ...newRun(), output_dir: join(place, 'out') };
    const remount = (mode: string) => spawnSync('mount', ['-o', `remount,${mode}`, place]);
    const onCall = changing('generate', 1, () => remount('ro'));
    await expect(recordRun(folder, settings, { onCall })).rejects.toMatchObject({
      message: expect.stringMatching(/out\/.*that file system is read-only \(EROFS\)$/),
    });
    const other = { ...newRun(), output_dir: join(place, 'other') };
    await expect(recordRun(folder, other)).rejects.toMatchObject({ exitCode: 3 });
    const home = recordRun(folder, newRun(), { home: join(place, 'home') });
    await expect(home).rejects.toMatchObject({ code: 'ENOENT' }); // as Node calls it
    await expect(home.catch(translateSystemError)).resolves.toMatchObject({
      message: expect.stringMatching(/home: that file system is read-only \(EROFS\)$/),
    });
    remount('rw');
    await recordRun(folder, settings, { resume: true });
    expect(recordOf(settings.output_dir).status).toBe('finished');
  });
});

describe('asked to stop while it prepares', () => {
  const reason = new InterruptedError('interrupted by SIGTERM', { exitCode: 143 });

  it.each(['load', 'encode', 'status'] as const)(
    'it ends at once, though %s never answers, with the code of the signal and nothing written',
    async verb => {
      const settings = newRun();
      const controller = new AbortController();
      const onCall = changing(verb, 1, () => controller.abort(reason));
      const run = recordRun(folder, settings, {
        channel: without(verb, null),
        onCall,
        signal: controller.signal,
      });
      await expect(run).rejects.toMatchObject({ exitCode: 143, fix: 'begin again with the same command' });
      expect(existsSync(settings.output_dir)).toBe(false);
    },
  );

  it('and with the command that resumes where there is a run', async () => {
    const settings = newRun();
    await recordRun(folder, settings);
    const controller = new AbortController();
    const onCall = changing('load', 1, () => controller.abort(reason));
    const channel = without('load', null);
    const { signal } = controller;
    await expect(
      recordRun(folder, settings, { resume: true, channel, onCall, signal }),
    ).rejects.toMatchObject({ exitCode: 143, fix: `go on with: npx tms resume ${settings.output_dir}` });
  });

  it('in its training it stops at a safe point with the same code, and says it was interrupted', async () => {
    const settings = newRun();
    const controller = new AbortController();
    const onCall = changing('optimStep', 3, () => controller.abort(reason));
    const run = recordRun(folder, settings, { onCall, signal: controller.signal });
    await expect(run).rejects.toMatchObject({ exitCode: 143, message: /holds everything up to here/ });
    expect(recordOf(settings.output_dir)).toMatchObject({ status: 'interrupted', error: null });
    expect(isLocked(settings.output_dir)).toBe(false);
  });
});

it('asked to stop, it stops too where the store has all that is left to do', async () => {
  const { tms: _, ...rest } = newRun();
  const settings: Settings = { ...rest, method: 'sft' };
  const home = join(folder, 'home-of-twins');
  await recordRun(folder, settings, { home });
  const { output_dir } = newRun();
  const controller = new AbortController();
  const { signal } = controller;
  const ask = AbortSignal.prototype.throwIfAborted;
  const asking = vi.spyOn(AbortSignal.prototype, 'throwIfAborted').mockImplementation(function (
    this: AbortSignal,
  ) {
    // As a signal does: it is heard when the event loop turns next, not at once.
    if (existsSync(join(output_dir, 'ledger.jsonl')))
      setImmediate(() => controller.abort(new Error('interrupted')));
    ask.call(this);
  });
  onTestFinished(() => asking.mockRestore());
  const run = recordRun(folder, { ...settings, output_dir }, { home, signal });
  await expect(run).rejects.toMatchObject({ exitCode: 130 });
  expect(recordOf(output_dir).status).toBe('interrupted');
});

describe('after a crash', () => {
  let whole: RecordedRun;
  const evaluated = {
    eval: { sets: [{ name: 'say', path: '', columns: { answer: 'completion' }, max_new_tokens: 5 }] },
  };
  const measured = (): Settings & { output_dir: string } => {
    const settings = newRun();
    const sets = evaluated.eval.sets.map(set => ({ ...set, path: settings.dataset_name }));
    return { ...settings, eval: { sets }, eval_points: 3 };
  };
  beforeAll(async () => {
    whole = await recordRun(folder, measured());
  });

  it('a training state that nothing continues from goes at the next resume; what is not ours stays', async () => {
    for (const name of ['sft-step-000004', 'student-step-000002', 'my-notes'])
      mkdirSync(join(whole.output, 'states', name), { recursive: true });
    await recordRun(folder, { ...measured(), output_dir: whole.output }, { resume: true, home: whole.home });
    expect(readdirSync(join(whole.output, 'states'))).toEqual(['my-notes']);
    rmSync(join(whole.output, 'states', 'my-notes'), { recursive: true });
  });

  it.each([
    ['forwardBackward', 4],
    ['forwardBackward', 8],
    ['forwardBackward', 14],
    ['save', 2], // of checkpoint 3, one step after the last state
    ['save', 5],
    ['generate', 3],
    ['generate', 5],
  ] as const)('the times of a run resumed after %s %i are those of one run', async (verb, count) => {
    const settings = measured();
    const controller = new AbortController();
    const stopped = recordRun(folder, settings, {
      onCall: stopAt(controller, verb, count),
      signal: controller.signal,
      home: join(settings.output_dir, '..', `home-of-${names}`),
    });
    await expect(stopped).rejects.toMatchObject({ exitCode: 130 });
    await recordRun(folder, settings, {
      resume: true,
      home: join(settings.output_dir, '..', `home-of-${names}`),
    });
    const costOf = (output: string) => {
      const rows = readRows(output, 'timing.jsonl').filter(({ kind }) => kind !== 'save');
      return rows.map(({ unit, kind, training, tokens }) => `${training} ${kind} ${unit} ${tokens}`).sort();
    };
    expect(costOf(settings.output_dir)).toEqual(costOf(whole.output));
  });

  it('damaged times of an earlier run stop no run, and are measured again', async () => {
    for (const content of ['', '{"a": 1', 'null', '{"a": {"train": "x"}}']) {
      const settings = measured();
      const home = join(folder, `home-${names}`);
      mkdirSync(home);
      writeFileSync(join(home, 'throughput.json'), content);
      await recordRun(folder, settings, { home });
      expect(recordOf(settings.output_dir).status).toBe('finished');
      expect(Object.values(readRecord(home, 'throughput.json'))).toEqual([
        { train: expect.any(Number), generate: expect.any(Number) },
      ]);
    }
  });

  it('times that cannot be noted do not fail a run that is finished', async () => {
    const settings = newRun();
    const home = join(folder, `home-${names}`);
    mkdirSync(join(home, 'throughput.json'), { recursive: true });
    await recordRun(folder, settings, { home });
    expect(recordOf(settings.output_dir).status).toBe('finished');
  });

  it('a damaged file of the store is work done again, with the same result', async () => {
    const first = measured();
    const home = join(folder, `home-${names}`);
    await recordRun(folder, first, { home });
    const damaged = ['evaluations', 'trainings', 'answers'].flatMap(kind =>
      readdirSync(join(home, 'store', kind), { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile() && /\.jsonl?$/.test(entry.name) && entry.name !== 'toy-model.json')
        .map(entry => join(entry.parentPath, entry.name)),
    );
    expect(damaged.length).toBeGreaterThan(5);
    for (const file of damaged) truncateSync(file, 20);
    const second = measured();
    await recordRun(folder, second, { home });
    for (const file of ['metrics.jsonl', 'curriculum.jsonl', 'models/student/toy-model.json'])
      expect(readFileSync(join(second.output_dir, file), 'utf8'), file).toBe(
        readFileSync(join(first.output_dir, file), 'utf8'),
      );
  });

  it('a damaged sample of the base is taken again', async () => {
    const settings = { ...measured(), kl: { size: 2 } };
    const home = join(folder, `home-${names}`);
    const controller = new AbortController();
    const onCall = stopAt(controller, 'optimStep', 4);
    await expect(recordRun(folder, settings, { home, onCall, signal: controller.signal })).rejects.toThrow();
    const file = join(settings.output_dir, 'base-samples.json');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.slice(0, 30));
    const { calls } = await recordRun(folder, settings, { resume: true, home });
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(callsOf(calls, 'generate').length).toBeGreaterThan(0);
  });
});
