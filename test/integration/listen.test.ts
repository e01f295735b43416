/** `tms worker --listen`: one client after the other under one address and key. Real processes; torch is a stand-in that is missing. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../src/python/paths.ts';
import { newKeyPair } from '../../src/worker/keys.ts';
import { listen, listenAddress } from '../../src/worker/listen.ts';
import { connectWorker, type Endpoint } from '../../src/worker/remote.ts';
import { Worker } from '../../src/worker/worker.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { pythonPath } from '../support/tiny-model.ts';

/** With a torch that cannot be imported, so that a worker is there at once. */
function rootWithoutTorch(): string {
  const root = temporaryDirectory();
  mkdirSync(join(root, 'torch'));
  writeFileSync(join(root, 'torch/__init__.py'), 'raise ModuleNotFoundError("No module named torch")\n');
  return `${root}:${projectRoot()}`;
}

it('serves one client after the other at the same address, each with a process of its own, until it is stopped', async () => {
  const [client, keys] = [newKeyPair(), newKeyPair()];
  const stop = new AbortController();
  const said: string[] = [];
  let ready = (_: Endpoint) => {};
  const place = new Promise<Endpoint>(resolve => {
    ready = resolve;
  });
  const serving = listen({
    python: await pythonPath(),
    root: rootWithoutTorch(),
    address: 'tcp://127.0.0.1:*',
    allow: [client.publicKey],
    keys,
    onReady: ready,
    say: line => said.push(line),
    signal: stop.signal,
  });
  const endpoint = await place;
  expect(endpoint.key).toBe(keys.publicKey);
  const pids: number[] = [];
  for (let i = 0; i < 2; i++) {
    const connection = await connectWorker({ ...endpoint, keys: client });
    pids.push(connection.pid);
    await expect(new Worker(connection).status()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await connection.close();
  }
  expect(pids[0]).not.toBe(pids[1]);
  expect(said[0]).toMatch(/its client is gone; waiting for the next one/);
  const last = await connectWorker({ ...endpoint, keys: client });
  stop.abort();
  await serving;
  await expect(new Worker(last).status()).rejects.toMatchObject({ code: 'WORKER_DIED' });
});

it('takes an address of this machine, never all of them', async () => {
  expect(await listenAddress('tcp://127.0.0.1:5555')).toBe('tcp://127.0.0.1:5555');
  expect(await listenAddress('tcp://localhost:*')).toBe('tcp://127.0.0.1:*');
  await expect(listenAddress('tcp://0.0.0.0:5555')).rejects.toThrow(/every network of this machine/);
  await expect(listenAddress('10.0.0.5:5555')).rejects.toThrow(/no address/);
  await expect(listenAddress('tcp://127.0.0.1:99999')).rejects.toThrow(/no address/);
});

it('says where it cannot listen', async () => {
  const options = {
    python: await pythonPath(),
    root: rootWithoutTorch(),
    address: 'tcp://192.0.2.1:5555', // of nobody (RFC 5737)
    allow: [newKeyPair().publicKey],
    keys: newKeyPair(),
    onReady: () => {},
    say: () => {},
    signal: new AbortController().signal,
  };
  await expect(listen(options)).rejects.toMatchObject({
    message: /cannot listen on tcp:\/\/192.0.2.1:5555: it ended with exit code 1/,
    fix: /is the address one of this machine/,
  });
});
