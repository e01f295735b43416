/**
 * `tms run` on the toy worker, or on torch where TMS_PYTHON is set, in a process of its own, which ends itself with SIGKILL before or after a chosen durable operation:
 *
 *     tsx run-driver.ts CONFIG HOME [KILL_AT]
 *
 * Durable operations (fsync, rename) are counted from 1; an odd KILL_AT dies before operation (KILL_AT + 1) / 2, an even one after
 * operation KILL_AT / 2. Without KILL_AT it prints how many there were. Samplers are what the worker is; with TMS_KILL_SAMPLER the first
 * is ended with SIGKILL at its first request for answers.
 */
import fs, { existsSync, readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import type { Channel } from '../../src/worker/channel.ts';

const [configFile, home, killAt] = process.argv.slice(2) as [string, string, string | undefined];
let operations = 0;
for (const name of ['fsyncSync', 'renameSync'] as const) {
  const original = fs[name] as (...args: unknown[]) => void;
  Object.assign(fs, {
    [name]: (...args: unknown[]) => {
      operations += 1;
      if (Number(killAt) === 2 * operations - 1) process.kill(process.pid, 'SIGKILL');
      original(...args);
      if (Number(killAt) === 2 * operations) process.kill(process.pid, 'SIGKILL');
    },
  });
}
syncBuiltinESMExports();

const { loadConfig } = await import('../../src/config/load.ts');
const { executeRun } = await import('../../src/runner/execute.ts');
const { projectRoot } = await import('../../src/python/paths.ts');
const { Connection } = await import('../../src/worker/connection.ts');
const { Worker } = await import('../../src/worker/worker.ts');
const { ToyChannel } = await import('./toy-worker.ts');

const config = loadConfig(configFile);
const python = process.env.TMS_PYTHON;
const open = async () => (python ? Connection.open({ python, root: projectRoot() }) : new ToyChannel());
const channel = await open();
const startSampler = async (index: number) => {
  const sampler = await open();
  const isKilled = index === 0 && process.env.TMS_KILL_SAMPLER !== undefined && 'pid' in sampler;
  return new Worker(isKilled ? killedAtOnce(sampler) : sampler);
};
const worker = new Worker(channel);
await executeRun(config, {
  worker,
  startSampler,
  home,
  progress: { update: () => {}, say: () => {} },
  signal: new AbortController().signal,
  input: readFileSync(configFile, 'utf8'),
  tmsVersion: 'test',
  resume: existsSync(join(config.output_dir, 'run.json')),
});
await worker.close();
process.stdout.write(`${operations}\n`);

/** Passes everything on; the process is gone before it has answered. */
function killedAtOnce(connection: Channel & { readonly pid: number }): Channel {
  return {
    call: (verb, ...rest) => {
      const call = connection.call(verb, ...rest);
      if (verb === 'generate') process.kill(connection.pid, 'SIGKILL');
      return call;
    },
    close: () => connection.close(),
  };
}
