/** A worker for clients elsewhere: one after the other, each with a process of its own, so that nothing of one is left for the next. */
import { lookup } from 'node:dns/promises';
import { EnvironmentError, UsageError } from '../errors.ts';
import type { KeyPair } from './keys.ts';
import { type ProcessOptions, type SpawnedWorker, spawnWorker } from './process.ts';
import type { Endpoint } from './remote.ts';

export type ListenOptions = ProcessOptions & {
  /** As `listenAddress` gives it. */
  readonly address: string;
  /** Public keys of the clients that are let in. */
  readonly allow: readonly string[];
  readonly keys: KeyPair;
  /** Told once, when a client can come. */
  readonly onReady: (endpoint: Endpoint) => void;
  /** A line for a person. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

/** Serve until the signal. Throws `EnvironmentError` where the worker cannot listen. */
export async function listen({ onReady, say, signal, ...options }: ListenOptions): Promise<void> {
  let address = options.address;
  for (let round = 0; !signal.aborted; round++) {
    let place: Endpoint | null = null;
    const worker = await start({ ...options, address }, found => {
      place = found;
      if (round === 0) onReady(found);
    });
    const stop = () => void worker.kill();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const how = await worker.exited;
    signal.removeEventListener('abort', stop);
    if (signal.aborted) return;
    if (place === null) throw cannotListen(address, how, worker.lastWords());
    ({ address } = place as Endpoint); // the same port again
    say(`the worker ${how}: its client is gone; waiting for the next one`);
  }
}

function start(
  options: Omit<ListenOptions, 'onReady' | 'say' | 'signal'>,
  onPlace: (place: Endpoint) => void,
): Promise<SpawnedWorker> {
  let isFirst = true;
  const onLog = (line: string) => {
    const place = isFirst ? placeIn(line) : null;
    if (place === null) return options.onLog?.(line);
    isFirst = false;
    return onPlace(place);
  };
  return spawnWorker(
    { ...options, onLog },
    {
      TMS_WORKER_ENDPOINT: options.address,
      TMS_WORKER_TOKEN: '',
      TMS_WORKER_ALLOW: options.allow.join(' '),
      TMS_WORKER_SECRET: options.keys.secretKey,
    },
  );
}

/** The line by which py_worker says where it listens. */
function placeIn(line: string): Endpoint | null {
  if (!line.startsWith('{"endpoint"')) return null;
  const { endpoint, key } = JSON.parse(line) as { endpoint: string; key: string };
  return { address: endpoint, key };
}

function cannotListen(address: string, how: string, lastWords: string): EnvironmentError {
  const words = lastWords === '' ? '' : `; its last lines:\n${lastWords}`;
  return new EnvironmentError(`the worker cannot listen on ${address}: it ${how}${words}`, {
    fix: 'is the address one of this machine (`ip addr`), and the port free?',
  });
}

/** Check what `--listen` was given; a host becomes its number, which is all that can be bound. Throws `UsageError`. */
export async function listenAddress(text: string): Promise<string> {
  const [, host = '', port] = /^tcp:\/\/([^:/]+):(\d{1,5}|\*)$/.exec(text) ?? [];
  const refuse = (found: string, fix: string) =>
    new UsageError(`--listen is ${JSON.stringify(text)}: ${found}`, { fix });
  if (host === '' || Number(port) > 65_535)
    throw refuse('no address', 'such as tcp://10.0.0.5:5555; port * takes a free one');
  if (host === '*' || host === '0.0.0.0')
    throw refuse(
      'every network of this machine',
      'name the address by which the run reaches it, such as tcp://10.0.0.5:5555',
    );
  try {
    return `tcp://${(await lookup(host, 4)).address}:${port}`;
  } catch (cause) {
    throw new UsageError(`--listen is ${JSON.stringify(text)}: no host ${host} is known`, {
      fix: 'give its number: tcp://10.0.0.5:5555',
      cause,
    });
  }
}
