import { relative } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { setUpExtras, setUpPython } from '../python/make-environment.ts';
import { projectRoot } from '../python/paths.ts';
import { extraNames } from '../python/requirements.ts';
import type { CliContext } from './terminal.ts';

interface SetupFlags {
  python?: string;
  torch?: string;
  dev?: boolean;
  with?: string[];
  force?: boolean;
  vllm?: boolean;
}

/** `tms setup`: make or update the Python environment. */
export function addSetupCommand(program: Command, context: CliContext): void {
  program
    .command('setup')
    .summary('make the Python environment, or bring it up to date')
    .description(
      'Make the Python environment that the worker runs in, or bring it up to date. In a clone it is ./.venv, ' +
        'else it lives in TMS_HOME (default: ~/.cache/tms). Every command that needs Python does this by itself; ' +
        'call it to choose the Python or the build of torch. Safe to interrupt and to repeat.',
    )
    .option(
      '--python <path|version>',
      'make it with this Python (3.10 to 3.13), e.g. 3.12 or /usr/bin/python3.12',
    )
    .option('--torch <build>', 'build of torch: cpu, cu130, …, or auto (the one that fits the GPU driver)')
    .option('--vllm', 'make the one for sampler.backend: vllm instead, always in TMS_HOME (6 GB)')
    .option('--dev', 'also install what npm run check and npm test need')
    .option(
      '--with <names>',
      `also install what only some runs need: ${extraNames(projectRoot()).join(', ')}`,
      (text: string) => text.split(',').map(name => name.trim()),
    )
    .option('--force', 'remove the environment and begin anew')
    .addHelpText('after', examples)
    .action(async (flags: SetupFlags) => {
      await setUp(flags, context);
    });
}

const examples = `
Without --torch the build of your package registry is taken: on Linux
the one with CUDA (5 GB), which also runs on a CPU.

Examples:
  $ npx tms setup                     # the usual
  $ npx tms setup --torch cpu         # a small torch without CUDA
  $ npx tms setup --python 3.12 --force
  $ npx tms setup --with datasets,trackers
  $ npx tms setup --vllm              # for sampler.backend: vllm`;

async function setUp({ with: extras, ...flags }: SetupFlags, { terminal, env }: CliContext): Promise<void> {
  const report = (line: string) => terminal.note(line);
  const start = performance.now();
  const options = { ...flags, env, report, showProgress: terminal.isInteractive };
  if (extras !== undefined && flags.vllm)
    throw new UsageError('--with and --vllm are two environments', { fix: 'call tms setup once for each' });
  const { python, changed } = await (extras === undefined
    ? setUpPython(options)
    : setUpExtras(options, extras));
  const seconds = Math.round((performance.now() - start) / 1000);
  const outcome = changed ? `ready after ${seconds} s` : 'ready, nothing to do';
  terminal.print(`Python ${python.version} is ${outcome}: ${shortPath(python.path)}`);
  if (env.TMS_PYTHON) terminal.note(`note: TMS_PYTHON is set, so commands use ${env.TMS_PYTHON} instead`);
}

function shortPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') ? path : fromHere;
}
