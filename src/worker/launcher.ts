/** Workers that an engine places: a child that speaks JSON lines (docs/protocol.md) starts them where there is room, and tells of their ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { EnvironmentError } from '../errors.ts';
import type { Connection } from './connection.ts';
import { newKeyPair } from './keys.ts';
import { connectWorker, type Endpoint } from './remote.ts';
import { WorkerError } from './worker-error.ts';

/** What `placement.engine` may be: each is a program of py_worker that speaks the lines. */
export type Engine = 'local' | 'ray';

export type LaunchOptions = {
  readonly engine: Engine;
  /** Of the engine, as it names it. */
  readonly address: string;
  readonly count: number;
  /** Of each worker. */
  readonly gpus: number;
  readonly python: string;
  readonly root: string;
  /** Folders that the workers must see. */
  readonly shared: readonly string[];
  readonly timeoutSeconds?: number;
  /** How they are spread, in Ray's words. */
  readonly strategy?: 'PACK' | 'SPREAD' | 'STRICT_SPREAD';
  /** What the workers run; by default py_worker. */
  readonly command?: readonly string[];
  /** Beside what every worker gets. */
  readonly env?: Readonly<Record<string, string>>;
};

/** Placed workers. `connect` one after the other or at once; the launcher ends when all of them did, and with `close`. */
export type Launched = {
  readonly connect: (index: number) => Promise<Connection>;
  /** Where they are, once they are started. */
  readonly nodes: () => readonly string[];
  readonly close: () => Promise<void>;
};

const named = { name: z.string() };
const event = z.discriminatedUnion('evt', [
  z.object({ evt: z.literal('connected'), resources: z.record(z.string(), z.unknown()) }),
  z.object({ evt: z.literal('placed') }),
  z.object({
    evt: z.literal('worker'),
    ...named,
    endpoint: z.string(),
    key: z.string(),
    pid: z.int(),
    node: z.string(),
  }),
  z.object({ evt: z.literal('ready') }),
  z.object({ evt: z.literal('exit'), ...named, code: z.int(), words: z.string() }),
  z.object({ evt: z.literal('lost'), ...named, reason: z.string() }),
  z.object({ evt: z.literal('error'), code: z.string(), message: z.string(), fix: z.string() }),
  z.object({ evt: z.literal('bye') }),
]);
type LauncherEvent = z.infer<typeof event>;

/** One worker: where it listens, and how it ended. */
type Placed = { readonly place: Later<Endpoint & { node: string }>; readonly ended: Later<string> };
type Later<T> = {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
};

const placementSeconds = 300;
const closeMilliseconds = 15_000;

/** Start the launcher and hand it what to place; each `connect` waits for its worker. */
export function launch(options: LaunchOptions): Launched {
  const keys = newKeyPair(); // for this run alone: only its public half leaves this machine
  const child = startLauncher(options);
  const placed = Array.from({ length: options.count }, (): Placed => ({ place: later(), ended: later() }));
  const nodes: string[] = [];
  const end = (i: number, how: string) => {
    placed[i]?.place.reject(new WorkerError('SPAWN_FAILED', `sampler ${i + 1} ${how}`));
    placed[i]?.ended.resolve(how);
  };
  let left = options.count;
  for (const { ended } of placed)
    void ended.promise.then(() => {
      left -= 1;
      if (left === 0) child.stdin?.end();
    });
  const take = (said: LauncherEvent) => {
    if (said.evt === 'worker') {
      nodes[indexOf(said.name)] = said.node;
      placed[indexOf(said.name)]?.place.resolve({ address: said.endpoint, key: said.key, node: said.node });
    }
    if (said.evt === 'exit')
      end(indexOf(said.name), `ended with exit code ${said.code}${said.words && `: ${said.words}`}`);
    if (said.evt === 'lost') end(indexOf(said.name), `is lost: ${said.reason}`);
    if (said.evt === 'error')
      for (const { place } of placed)
        place.reject(new EnvironmentError(`${options.engine}: ${said.message}`, { fix: said.fix }));
  };
  const env = { ...environmentOf(options.root, keys.publicKey), ...options.env };
  const exited = speak(child, { ...specOf(options), env }, take);
  void exited.then(words => {
    for (const i of placed.keys())
      end(i, `is lost: the launcher ended${words && `; its last lines:\n${words}`}`);
  });
  return {
    nodes: () => nodes,
    connect: async index => {
      const { place, ended } = placed[index] as Placed;
      const { shared } = options;
      return connectWorker({ ...(await place.promise), keys, shared, ended: ended.promise });
    },
    close: async () => {
      child.stdin?.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), closeMilliseconds);
      await exited;
      clearTimeout(timer);
    },
  };
}

function startLauncher({ engine, python, root }: LaunchOptions): ChildProcess {
  return spawn(python, ['-m', `py_worker.${engine}_launcher`], {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    detached: true, // Ctrl-C in the terminal is ours to interpret
    env: { ...process.env, PYTHONPATH: root, PYTHONSAFEPATH: '1', RAY_USAGE_STATS_ENABLED: '0' },
  });
}

function specOf({
  address,
  count,
  gpus,
  python,
  strategy = 'PACK',
  timeoutSeconds = placementSeconds,
  command,
}: LaunchOptions) {
  return {
    v: 1,
    name: `tms-${process.pid}`,
    address,
    timeoutSeconds,
    strategy,
    command: command ?? [python, '-m', 'py_worker'],
    workers: Array.from({ length: count }, (_, i) => ({ name: `sampler-${i}`, cpus: 1, gpus })),
  };
}

function indexOf(name: string): number {
  return Number(name.replace('sampler-', ''));
}

/** Public keys only: what an engine passes on may be read by others. */
function environmentOf(root: string, publicKey: string): Record<string, string> {
  return {
    PYTHONPATH: root,
    PYTHONSAFEPATH: '1',
    PYTHONUNBUFFERED: '1',
    OMP_WAIT_POLICY: 'PASSIVE',
    TMS_WORKER_ALLOW: publicKey,
  };
}

/** Hand over the spec and take every line; resolves at the end of the child with the last lines of its stderr. */
function speak(child: ChildProcess, spec: object, take: (said: LauncherEvent) => void): Promise<string> {
  const words: string[] = [];
  if (child.stderr)
    createInterface({ input: child.stderr }).on('line', line => {
      words.push(line);
      if (words.length > 20) words.shift();
    });
  createInterface({ input: child.stdio[3] as NodeJS.ReadableStream }).on('line', line =>
    take(event.parse(JSON.parse(line))),
  );
  child.stdin?.on('error', () => {}); // it is gone: its exit tells
  child.stdin?.write(`${JSON.stringify(spec)}\n`);
  return new Promise(resolve => {
    child.once('error', error => resolve(error.message));
    child.once('close', () => resolve(words.join('\n')));
  });
}

function later<T>(): Later<T> {
  let resolve = (_: T) => {};
  let reject = (_: Error) => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // nobody may ask
  return { promise, resolve, reject };
}
