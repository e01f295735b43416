/** Workers that stand elsewhere: keys, refusals, files that both sides see, and connections that end. Real sockets, no torch. */
import { execFileSync } from 'node:child_process';
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Connection } from '../../src/worker/connection.ts';
import { fromZ85, isKey, keptKeyPair, newKeyPair, toZ85 } from '../../src/worker/keys.ts';
import { connectWorker, type RemoteOptions } from '../../src/worker/remote.ts';
import { Worker } from '../../src/worker/worker.ts';
import { type StandIn, standIn } from '../support/stand-in-worker.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const keys = newKeyPair();
const open: Connection[] = [];
const standing: StandIn[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map(connection => connection.close()));
  for (const { process } of standing.splice(0)) process.kill('SIGKILL');
});

async function stand(options: Partial<Parameters<typeof standIn>[0]> = {}): Promise<StandIn> {
  const made = await standIn({ allow: [keys.publicKey], ...options });
  standing.push(made);
  return made;
}

async function connect({ address, key }: StandIn, options: Partial<RemoteOptions> = {}) {
  const connection = await connectWorker({ address, key, keys, busySeconds: 0, ...options });
  open.push(connection);
  return { connection, worker: new Worker(connection) };
}

describe('a worker that stands elsewhere', () => {
  it('is asked over the network by whom it knows, one at a time, and ends with bye', async () => {
    const there = await stand();
    const folder = temporaryDirectory();
    const { connection, worker } = await connect(there, { shared: [folder] });
    expect(connection.pid).toBe(there.pid);
    expect(await worker.decode([[5]])).toEqual(['here']);
    expect(readdirSync(folder)).toEqual([]); // the nonce is gone
    await expect(connect(there)).rejects.toMatchObject({ code: 'BUSY' });
    await connection.close();
    expect(await there.ended).toBe(0);
  });

  it('leaves nothing in a shared folder where another one cannot be written', async () => {
    const folder = temporaryDirectory();
    const there = { address: 'tcp://127.0.0.1:9', key: newKeyPair().publicKey };
    const shared = [folder, join(folder, 'missing')];
    await expect(connectWorker({ ...there, keys: newKeyPair(), shared })).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('lets no other client in, and says what lets it in', async () => {
    const stranger = newKeyPair();
    await expect(connect(await stand(), { keys: stranger })).rejects.toMatchObject({
      code: 'SPAWN_FAILED',
      message: new RegExp(
        `the worker at tcp://127.0.0.1:\\d+ does not let this client in: start it with --allow ${stranger.publicKey}`,
      ),
    });
  });

  it('is not taken for one with another key, nor for one where nobody listens', async () => {
    const other = newKeyPair().publicKey;
    await expect(connect(await stand(), { key: other })).rejects.toMatchObject({
      code: 'SPAWN_FAILED',
      message: new RegExp(`does not have the key ${other}`),
    });
    const nowhere = { ...(await stand()), address: 'tcp://127.0.0.1:9' };
    await expect(connect(nowhere, { startTimeoutSeconds: 0.5 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: /tcp:\/\/127.0.0.1:9 said nothing within 0.5 s/,
    });
  });

  it('that dies rejects what is pending', async () => {
    const there = await stand();
    const { worker } = await connect(there);
    const pending = worker.status();
    there.process.kill('SIGKILL');
    await expect(pending).rejects.toMatchObject({ code: 'WORKER_DIED', verb: 'status', message: /is gone/ });
  });

  it('of whose end somebody else tells, too', async () => {
    let lose = (_: string) => {};
    const ended = new Promise<string>(resolve => {
      lose = resolve;
    });
    const { worker } = await connect(await stand(), { ended });
    const pending = worker.status();
    lose('was lost with its machine');
    await expect(pending).rejects.toMatchObject({
      code: 'WORKER_DIED',
      message: /was lost with its machine/,
    });
  });

  it.runIf(process.platform === 'linux')(
    'which does not see a folder of ours is refused by its name',
    async () => {
      const there = await stand({ cwd: temporaryDirectory() });
      await expect(connect(there, { shared: ['/proc/self/cwd'] })).rejects.toMatchObject({
        code: 'NOT_FOUND',
        message: /does not see \/proc\/self\/cwd/,
        fix: /mount it there under the same path/,
      });
      expect(await there.ended).toBe(0);
    },
  );
});

describe('keys', () => {
  it('are spelled as ZeroMQ does and back', () => {
    // Test vector of ZeroMQ RFC 32, four times.
    const key = '864fd26fb559f75b'.repeat(4);
    expect(toZ85(key)).toBe('HelloWorld'.repeat(4));
    expect(fromZ85('HelloWorld'.repeat(4))).toBe(key);
    expect([isKey(key), isKey('HelloWorld'), isKey(`${key}0`)]).toEqual([true, false, false]);
  });

  it('are made once, kept where only their user reads them, and refused where others can', () => {
    const file = join(temporaryDirectory(), 'keys', 'client.json');
    const made = keptKeyPair(file);
    expect(keptKeyPair(file)).toEqual(made);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o644);
    expect(() => keptKeyPair(file)).toThrow(/holds a secret key, and others can read it/);
    writeFileSync(file, '{}');
    expect(() => keptKeyPair(file)).toThrow(/holds no key pair of tms/);
  });
});

describe.skipIf(!canMakeNetworks())('a machine of its own (a network namespace)', () => {
  it('that is cut off is noticed within 5 s, and its worker ends by its lease', async () => {
    const { inside, address, cut } = network();
    const there = await stand({
      command: inside,
      env: { TMS_WORKER_ENDPOINT: `tcp://${address}:*`, TMS_WORKER_LEASE_SECONDS: '2' },
    });
    const { worker } = await connect(there, { pingIntervalSeconds: 0.5, pingMisses: 1000 });
    expect(there.address).toContain(address);
    expect(await worker.decode([[5]])).toEqual(['here']);
    const began = performance.now();
    const pending = worker.status();
    cut();
    await expect(pending).rejects.toMatchObject({ code: 'WORKER_DIED' });
    expect(performance.now() - began).toBeLessThan(5000 * slack);
    expect(await there.ended).toBe(1);
  });
});

/** A loaded machine is late by itself. */
const slack = 4;

/** As root on Linux, where the kernel lets us. */
function canMakeNetworks(): boolean {
  try {
    execFileSync('ip', ['netns', 'add', 'tms-probe'], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'del', 'tms-probe'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** One cable between this machine and a namespace; `cut` pulls it out. */
function network() {
  const name = `tms${process.pid}`;
  const ip = (...args: string[]) => execFileSync('ip', args);
  const subnet = `10.213.${process.pid % 250}`;
  ip('netns', 'add', name);
  onTestFinished(() => void ip('netns', 'del', name));
  ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`, 'netns', name);
  ip('addr', 'add', `${subnet}.1/24`, 'dev', `${name}a`);
  ip('link', 'set', `${name}a`, 'up');
  ip('-n', name, 'addr', 'add', `${subnet}.2/24`, 'dev', `${name}b`);
  ip('-n', name, 'link', 'set', `${name}b`, 'up');
  return {
    inside: ['ip', 'netns', 'exec', name],
    address: `${subnet}.2`,
    cut: () => ip('-n', name, 'link', 'set', `${name}b`, 'down'),
  };
}
