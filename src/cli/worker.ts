import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../errors.ts';
import { ensurePython } from '../python/make-environment.ts';
import { projectRoot, tmsHome } from '../python/paths.ts';
import { clientKeyFile, isKey, keptKeyPair } from '../worker/keys.ts';
import { listen, listenAddress } from '../worker/listen.ts';
import type { Endpoint } from '../worker/remote.ts';
import { vllmProcess } from '../worker/start.ts';
import { collect } from './arguments.ts';
import { listenForStop } from './interrupt.ts';
import type { CliContext } from './terminal.ts';

interface WorkerFlags {
  listen?: string;
  allow: string[];
  keyFile?: string;
  python?: string;
  vllm?: boolean;
}

/** `tms worker`: lend this machine to a run elsewhere. */
export function addWorkerCommand(program: Command, context: CliContext): void {
  const command = program
    .command('worker')
    .summary('lend this machine to a run on another one')
    .description(
      'Wait here for a run on another machine, which has this worker sample for it (sampler.endpoints of its configuration). One run at ' +
        'a time: when it ends, or says nothing for 30 s, its work is dropped and the next one is waited for. Both sides prove who they ' +
        'are by keys, and all that crosses the network is encrypted. Weights do not cross it: output_dir and TMS_HOME of the run must be ' +
        'here under the same paths.',
    )
    .option('--listen <address>', 'where to wait: tcp://HOST:PORT, an address of this machine')
    .option(
      '--allow <key>',
      'public key of a run that is let in: tms worker key prints it there (can be repeated)',
      key,
      [],
    )
    .option(
      '--key-file <path>',
      'file with the key pair of this worker (default: keys/worker.json in TMS_HOME, made once)',
    )
    .option('--vllm', 'sample with vLLM: sampler.backend vllm of the run (tms setup --vllm)')
    .option('--python <path>', 'run the worker with this Python')
    .addHelpText('after', examples)
    .action((flags: WorkerFlags) => serve(flags, context));
  command
    .command('key')
    .summary('print the public key by which runs of this machine are known')
    .description(
      'Print the public key by which runs of this machine are known: what tms worker --allow takes on the other one.',
    )
    .action(() => context.terminal.print(keptKeyPair(clientKeyFile(tmsHome(context.env))).publicKey));
}

const examples = `
Examples:
  $ npx tms worker key                                                # where the run is: 4f1c…
  $ npx tms worker --listen tcp://10.0.0.5:5555 --allow 4f1c…         # where it shall sample`;

async function serve(flags: WorkerFlags, { terminal, env }: CliContext): Promise<void> {
  const { allow } = flags;
  if (flags.listen === undefined)
    throw new UsageError('tms worker waits somewhere, and --listen says where', {
      fix: 'npx tms worker --listen tcp://10.0.0.5:5555 --allow KEY',
    });
  if (allow.length === 0)
    throw new UsageError('a worker lets in whom --allow names, and it names nobody', {
      fix: 'npx tms worker key   (where the run is) prints the key that goes there',
    });
  const address = await listenAddress(flags.listen);
  const keys = keptKeyPair(flags.keyFile ?? join(tmsHome(env), 'keys', 'worker.json'));
  const say = (line: string) => terminal.note(line);
  const runs = flags.vllm
    ? await vllmProcess({ python: flags.python ?? null })
    : { python: (await ensurePython({ python: flags.python, env, report: say })).path };
  const stop = listenForStop(() => {}, env);
  try {
    const { signal } = stop;
    const onReady = (endpoint: Endpoint) => {
      for (const line of endpointLines(endpoint)) terminal.print(line);
    };
    await listen({ ...runs, root: projectRoot(), address, allow, keys, onReady, say, onLog: say, signal });
    throw signal.reason;
  } finally {
    stop.release();
  }
}

function endpointLines({ address, key: publicKey }: Endpoint): string[] {
  return [
    `waiting at ${address}; in the configuration of the run:`,
    'sampler:',
    '  endpoints:',
    `    - {address: "${address}", key: "${publicKey}"}`,
  ];
}

function key(value: string, values: readonly string[]): string[] {
  if (!isKey(value)) throw new InvalidArgumentError('It must be a public key, 64 hexadecimal digits.');
  return collect(value, values);
}
