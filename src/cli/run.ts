import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { UsageError } from '../errors.ts';
import { checkDisk, prepareRun } from '../methods/prepare-run.ts';
import { executeRun, refuseOccupied } from '../methods/run.ts';
import { describePlan } from '../plan/describe.ts';
import { tmsHome } from '../python/paths.ts';
import { readResults } from '../report/results.ts';
import { finalTable } from '../report/table.ts';
import { writeReport } from '../report/write-report.ts';
import { startWorker } from '../worker/start.ts';
import type { CliContext } from './context.ts';
import { terminalProgress } from './progress.ts';

interface RunFlags {
  set: string[];
  resume?: boolean;
  forkFrom?: string;
  dryRun?: boolean;
  json?: boolean;
}

/** `tms run`, `tms resume` and `tms plan`. */
export function addRunCommands(program: Command, context: CliContext): void {
  program
    .command('run')
    .summary('train as a configuration says, and report')
    .description(
      'Train as a configuration says: SFT, the answers of its checkpoints, the student, evaluations, and a report.',
    )
    .argument('<file>', 'configuration (YAML); configs/README.md lists those that come with tms')
    .option('--set <key=value>', 'override a key, e.g. tms.alpha=0.5 (can be repeated)', collect, [])
    .option('--resume', 'go on with the interrupted run in output_dir')
    .option('--fork-from <dir>', 'begin a new run that takes over what another one has finished')
    .option('--dry-run', 'print the plan and stop, as tms plan does')
    .addHelpText('after', runExamples)
    .action((file: string, flags: RunFlags) =>
      flags.dryRun ? plan(file, flags, context) : run(file, flags, context),
    );
  program
    .command('resume')
    .summary('go on with an interrupted run')
    .description('Go on with the interrupted run in a directory, with the configuration it was begun with.')
    .argument('<dir>', 'output_dir of the run')
    .action((directory: string) => resume(directory, context));
  program
    .command('plan')
    .summary('what a run would do, and what it would take')
    .description(
      'Print what a run would do, step by step, and what it would take: tokens, disk, time. Trains nothing.',
    )
    .argument('<file>', 'configuration (YAML)')
    .option('--set <key=value>', 'override a key (can be repeated)', collect, [])
    .option('--json', 'print the plan as JSON')
    .action((file: string, flags: RunFlags) => plan(file, flags, context));
}

const runExamples = `
Ctrl-C stops at the next safe point, a second one at once; either way
--resume goes on to the same result.

Examples:
  $ npx tms run configs/quickstart.yaml
  $ npx tms run my.yaml --set output_dir=runs/a5 --set tms.alpha=0.5
  $ npx tms run my.yaml --resume`;

function collect(value: string, values: string[]): string[] {
  return [...values, value];
}

async function run(file: string, flags: RunFlags, context: CliContext): Promise<void> {
  const config = loadConfig(file, flags.set);
  if (flags.forkFrom !== undefined && !existsSync(join(flags.forkFrom, 'run.json')))
    throw new UsageError(`--fork-from ${flags.forkFrom} holds no run`, {
      fix: 'name the output_dir of a run',
    });
  await execute(config, readFileSync(file, 'utf8'), flags, context);
}

async function resume(directory: string, context: CliContext): Promise<void> {
  const saved = join(directory, 'config.resolved.yaml');
  if (!existsSync(saved))
    throw new UsageError(`${directory} holds no run to resume`, { fix: 'name the output_dir of a run' });
  const config = loadConfig(saved, [`output_dir=${directory}`]);
  await execute(config, readFileSync(saved, 'utf8'), { set: [], resume: true }, context);
}

async function execute(
  config: RunConfig,
  input: string,
  flags: RunFlags,
  context: CliContext,
): Promise<void> {
  const { terminal, env, version } = context;
  refuseOccupied(config.output_dir, flags.resume ?? false);
  const progress = terminalProgress(terminal);
  const stop = stopOnInterrupt(line => progress.say(line));
  const worker = await startWorker(workerOptions(config, context));
  try {
    const options = { worker, home: tmsHome(env), progress, signal: stop.signal, input, tmsVersion: version };
    const path = await executeRun(config, {
      ...options,
      resume: flags.resume ?? false,
      forkFrom: flags.forkFrom ?? null,
    });
    progress.clear();
    await printResults(path, context);
  } finally {
    progress.clear();
    stop.release();
    await worker.close();
  }
}

async function printResults(path: string, { terminal }: CliContext): Promise<void> {
  const { html, markdown } = await writeReport(path);
  for (const line of finalTable(await readResults(path))) terminal.print(line);
  const model = ['student', 'sft'].map(name => join(path, 'models', name)).find(existsSync);
  terminal.print('');
  terminal.print(`report  ${html}\n        ${markdown}`);
  if (model === undefined) return;
  const isAdapter = existsSync(join(model, 'adapter_config.json'));
  const loader = isAdapter ? 'AutoPeftModelForCausalLM' : 'AutoModelForCausalLM';
  terminal.print(
    `model   ${model}\n        ${loader}.from_pretrained("${model}")    # ${isAdapter ? 'peft' : 'transformers'}`,
  );
  terminal.print(`try it  npx tms generate ${model}`);
}

async function plan(file: string, flags: RunFlags, context: CliContext): Promise<void> {
  const { terminal, env } = context;
  const config = loadConfig(file, flags.set);
  const progress = terminalProgress(terminal);
  const worker = await startWorker(workerOptions(config, context));
  try {
    const surroundings = { worker, home: tmsHome(env), progress, signal: new AbortController().signal };
    const prepared = await prepareRun(config, surroundings);
    progress.clear();
    if (flags.json) terminal.print(JSON.stringify(prepared.plan, null, 2));
    else for (const line of describePlan(prepared.plan)) terminal.print(line);
    if (prepared.finishedSft !== null)
      terminal.note('the SFT stage is in the store: it would not be trained again');
    checkDisk(prepared.plan, config.output_dir);
    await prepared.prepared.close();
  } finally {
    await worker.close();
  }
}

function workerOptions(
  { worker }: RunConfig,
  { env, terminal }: CliContext,
): Parameters<typeof startWorker>[0] {
  const isVerbose = env.TMS_LOG_LEVEL === 'debug';
  return {
    python: worker.python ?? undefined,
    report: line => terminal.note(line),
    ...(isVerbose ? { onLog: (line: string) => terminal.note(`worker: ${line}`) } : {}),
  };
}

/** The first SIGINT or SIGTERM asks the run to stop, the second ends the process. */
function stopOnInterrupt(say: (line: string) => void): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130);
    say('stopping at the next safe point; once more to stop at once');
    controller.abort(new Error('interrupted'));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    release: () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal),
  };
}
