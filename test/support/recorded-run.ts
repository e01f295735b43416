/**
 * A whole run on the toy worker in this process, with every request that crossed the wire. Tests of the algorithm speak of what is
 * written in a configuration, what was asked of the worker and what lies in the run directory; this file alone knows how a run is started.
 */
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
import { afterAll, expect } from 'vitest';
import { importMethod } from '../../src/config/import-method.ts';
import { parseConfig } from '../../src/config/load.ts';
import { executeRun } from '../../src/runner/execute.ts';
import { prepareRun } from '../../src/runner/prepare.ts';
import type { StartSampler } from '../../src/training/team.ts';
import type { Call, CallOptions, Channel, Reply } from '../../src/worker/channel.ts';
import type { MessageLimits } from '../../src/worker/parts.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';
import { Worker } from '../../src/worker/worker.ts';
import type { Recorded } from './recorded-calls.ts';
import { ToyChannel } from './toy-worker.ts';

export * from './recorded-calls.ts';

/** Passes everything on, and notes it. Adapters and Muon are noted and left out: the toy has neither. */
export class Recorder implements Channel {
  readonly #inner: Channel;
  readonly #onCall: (verb: VerbName) => void;
  readonly #calls: Promise<Recorded>[] = [];
  #weights: Promise<string> = Promise.resolve('');

  constructor(inner: Channel, onCall: (verb: VerbName) => void) {
    this.#inner = inner;
    this.#onCall = onCall;
  }

  call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors: Tensors = {},
    options?: CallOptions,
  ): Call<Reply<V>> {
    this.#onCall(verb);
    const copy = structuredClone({ params, tensors });
    const parts: Tensors[] = [];
    const onPart = (part: Tensors) => {
      parts.push(part);
      options?.onPart?.(part);
    };
    const call = this.#inner.call(verb, withoutWhatTheToyLacks(params), tensors, { ...options, onPart });
    if (verb === 'load' || verb === 'optimStep') this.#weights = this.#digest();
    const weights = this.#weights;
    const noted = async () => {
      const reply = await call.catch(() => null);
      return { id: call.id, verb, ...copy, parts, reply, weights: await weights } as unknown as Recorded;
    };
    this.#calls.push(noted());
    return call;
  }

  /** Everything that was asked, in order. */
  calls(): Promise<Recorded[]> {
    return Promise.all(this.#calls);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #digest(): Promise<string> {
    const status = await this.#inner.call('status', { digest: true }).catch(() => null);
    return status?.result.model?.weightsDigest ?? '';
  }
}

function withoutWhatTheToyLacks<P extends object>(params: P): P {
  return {
    ...params,
    ...('adapter' in params && { adapter: null }),
    ...('muon' in params && { muon: null }),
  };
}

/** A configuration as nested records: what a file would hold. */
export type Settings = { readonly [key: string]: unknown };

export type RunSurroundings = {
  /** `TMS_HOME`; without it one that nothing else uses. */
  readonly home?: string;
  /** What stands behind the recorder; without it a toy. */
  readonly channel?: Channel;
  /** Bytes of a message to the worker; without it those of the protocol. */
  readonly most?: MessageLimits;
  /** Called before each request. */
  readonly onCall?: (verb: VerbName) => void;
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  /** Where the settings ask for samplers. */
  readonly startSampler?: StartSampler;
};

/** What there is after a run. */
export type RecordedRun = {
  readonly output: string;
  readonly home: string;
  /** Lines that the run said to the person. */
  readonly said: readonly string[];
  readonly calls: readonly Recorded[];
};

/** What a run that is begun and interrupted at the n-th request of a verb leaves behind. */
export async function interruptedRun(
  folder: string,
  settings: Settings,
  { verb, count, ...surroundings }: RunSurroundings & { readonly verb: VerbName; readonly count: number },
): Promise<{ output: string; home: string; settings: Settings }> {
  const place = mkdtempSync(join(folder, 'stopped-'));
  const controller = new AbortController();
  const onCall = stopAt(controller, verb, count);
  const [output, home] = [join(place, 'out'), surroundings.home ?? join(place, 'home')];
  const whole = { ...settings, output_dir: output };
  const stopped = recordRun(folder, whole, { ...surroundings, home, onCall, signal: controller.signal });
  await expect(stopped).rejects.toMatchObject({ exitCode: 130 });
  return { output, home, settings: whole };
}

/** A folder for the files of one test file, removed at its end. */
export function workFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tms-algorithm-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Run what `settings` say; throws what the run throws. */
export async function recordRun(
  folder: string,
  settings: Settings,
  {
    home,
    channel = new ToyChannel(),
    most,
    onCall = () => {},
    resume = false,
    signal,
    startSampler,
  }: RunSurroundings = {},
): Promise<RecordedRun> {
  const place = mkdtempSync(join(folder, 'run-'));
  const output = String(settings.output_dir ?? join(place, 'out'));
  const text = JSON.stringify({ ...settings, output_dir: output }); // JSON is YAML
  const recorder = new Recorder(channel, onCall);
  const said: string[] = [];
  const usedHome = home ?? join(place, 'home');
  await importMethod(settings.method);
  await executeRun(parseConfig(text, 'test.yaml'), {
    worker: new Worker(recorder, most),
    ...(startSampler && { startSampler }),
    home: usedHome,
    progress: { update: () => {}, say: line => void said.push(line) },
    signal: signal ?? new AbortController().signal,
    input: text,
    tmsVersion: 'test',
    resume,
  });
  return { output, home: usedHome, said, calls: await recorder.calls() };
}

/** For `onCall`: what Ctrl-C does, at the n-th request of a verb. */
export function stopAt(
  controller: AbortController,
  verb: VerbName,
  count: number,
): (called: VerbName) => void {
  let left = count;
  return called => {
    if (called === verb && --left === 0) controller.abort(new Error('interrupted'));
  };
}

/** Write rows as JSON lines; returns the path. */
export function writeRows(folder: string, name: string, rows: readonly object[]): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, rows.map(row => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

/** The records of a file of JSON lines. */
// biome-ignore lint/suspicious/noExplicitAny: files are asserted by value, whatever they hold
export function readRows(...path: string[]): any[] {
  const text = readFileSync(join(...path), 'utf8');
  return text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line));
}

// biome-ignore lint/suspicious/noExplicitAny: as above
export function readRecord(...path: string[]): any {
  return JSON.parse(readFileSync(join(...path), 'utf8'));
}

/** Every file below a folder by its name there, sorted, byte for byte. */
export function filesIn(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1));
  return Object.fromEntries(names.sort().map(name => [name, readFileSync(join(folder, name), 'latin1')]));
}

/** Those of them whose name fits. */
export function pick(files: Record<string, string>, fits: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(files).filter(([name]) => fits(name)));
}

export function isThere(...path: string[]): boolean {
  return existsSync(join(...path));
}

/** What `tms plan --json` prints for these settings, with the toy in place of their model. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export async function planRun(folder: string, settings: Settings, usedHome?: string): Promise<any> {
  const home = usedHome ?? mkdtempSync(join(folder, 'plan-'));
  const worker = new Worker(new Recorder(new ToyChannel(), () => {}));
  const progress = { update: () => {}, say: () => {} };
  const config = parseConfig(JSON.stringify(settings), 'test.yaml');
  const prepared = await prepareRun(config, { worker, home, progress, signal: new AbortController().signal });
  await prepared.prepared.close();
  return JSON.parse(JSON.stringify(prepared.plan));
}
