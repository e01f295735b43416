/** A worker that stands elsewhere already: it is reached over the network, behind keys, and let go at the end. */
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Dealer } from 'zeromq';
import { Connection, type SessionOptions } from './connection.ts';
import { type KeyPair, toZ85 } from './keys.ts';
import type { WorkerProcess } from './process.ts';
import type { ErrorCode } from './protocol.ts';
import { WorkerError } from './worker-error.ts';

/** Where a worker listens, and the public key that it must prove to own. */
export type Endpoint = { readonly address: string; readonly key: string };

export type RemoteOptions = SessionOptions &
  Endpoint & {
    /** Of this client; the worker must let its public key in. */
    readonly keys: KeyPair;
    /** Folders that the worker must see under the same path: weights go that way, never over the wire. */
    readonly shared?: readonly string[];
    /** Told by whoever started it: how it ended. */
    readonly ended?: Promise<string>;
    /** How long a worker that serves another client is waited for. */
    readonly busySeconds?: number;
  };

/** A node that is cut off is noticed by ZeroMQ's own thread, which no import and no garbage collection holds up. */
const heartbeat = { intervalMilliseconds: 1000, timeoutMilliseconds: 3000 };
/** A worker that ends breaks off one handshake; one with another key all of them. */
const brokenHandshakes = 5;
/** Longer than the lease of a client that is gone without a word. */
const busySeconds = 45;
const startTimeoutSeconds = 30;

const listens = '`tms worker --listen tcp://ADDRESS:PORT --allow KEY` starts one and prints its key';
const fixes: Partial<Record<ErrorCode, string>> = {
  SPAWN_FAILED: `look at what it prints on its machine; ${listens}`,
  TIMEOUT: `is it started, and does the network let this machine reach that port? ${listens}`,
  BUSY: 'wait for the other run to end, or start another worker',
};

/** Greet a worker that listens elsewhere. Rejects with SPAWN_FAILED, TIMEOUT, BUSY or NOT_FOUND (it does not see a folder of `shared`). */
export async function connectWorker(options: RemoteOptions): Promise<Connection> {
  const nonces: Nonce[] = [];
  try {
    for (const folder of options.shared ?? []) nonces.push(writeNonce(folder));
    const connection = await greet(
      options,
      nonces.map(({ path }) => path),
    );
    const blind = nonces.find(({ text }, i) => connection.seen[i] !== text);
    if (blind === undefined) return connection;
    await connection.close();
    throw new WorkerError(
      'NOT_FOUND',
      `the worker at ${options.address} does not see ${blind.folder} of this machine`,
      {
        fix: `mount it there under the same path (weights go through files, never over the network), or put it on a file system that both see`,
      },
    );
  } finally {
    for (const { path } of nonces) rmSync(path, { force: true });
  }
}

async function greet(options: RemoteOptions, nonces: readonly string[]): Promise<Connection> {
  const until = performance.now() + 1000 * (options.busySeconds ?? busySeconds);
  for (;;) {
    try {
      const session = { startTimeoutSeconds, ...options, nonces };
      return await Connection.over(remoteProcess(options), session);
    } catch (error) {
      if (!(error instanceof WorkerError)) throw error;
      if (error.code !== 'BUSY' || performance.now() > until)
        throw new WorkerError(error.code, error.reason, { fix: fixes[error.code] ?? null, cause: error });
      await pause(1000);
    }
  }
}

type Nonce = { readonly folder: string; readonly path: string; readonly text: string };

function writeNonce(folder: string): Nonce {
  const text = randomBytes(16).toString('hex');
  const path = join(folder, `.tms-seen-${text.slice(0, 8)}`);
  writeFileSync(path, text);
  return { folder, path, text };
}

/** What a connection knows of the other end. Of itself it ends when it is let go, or when its socket says so. */
function remoteProcess({ address, key, keys, ended }: RemoteOptions): WorkerProcess {
  let end = (_: string) => {};
  const exited = new Promise<string>(resolve => {
    end = resolve;
  });
  void ended?.then(end);
  const connect = (socket: Dealer) => {
    socket.curveServerKey = toZ85(key);
    socket.curvePublicKey = toZ85(keys.publicKey);
    socket.curveSecretKey = toZ85(keys.secretKey);
    socket.heartbeatInterval = heartbeat.intervalMilliseconds;
    socket.heartbeatTimeout = heartbeat.timeoutMilliseconds;
    watchSocket(socket, { key, keys }, end);
    socket.connect(address);
  };
  const name = `the worker at ${address}`;
  return {
    name,
    pid: null,
    token: '',
    exited,
    connect,
    lastWords: () => '',
    kill: async () => end('was let go'),
  };
}

/** Tell the end of the connection: a new one would be another session. */
function watchSocket(
  { events }: Dealer,
  { key, keys }: { key: string; keys: KeyPair },
  end: (how: string) => void,
): void {
  let broken = 0;
  let isOpen = false;
  events.on('handshake', () => {
    isOpen = true;
  });
  events.on('disconnect', () => {
    if (isOpen) end('is gone: it closed the connection, or the network did');
  });
  events.on('handshake:error:auth', () =>
    end(`does not let this client in: start it with --allow ${keys.publicKey}`),
  );
  events.on('handshake:error:protocol', () =>
    end('does not speak as a worker of tms: is the port that of another program?'),
  );
  events.on('handshake:error:other', () => {
    broken += 1;
    if (broken === brokenHandshakes)
      end(`does not have the key ${key}: \`tms worker --listen\` prints the one that it has`);
  });
}
