import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { importMethod, loadRun, methodIn } from '../config/import-method.ts';
import type { RunConfig } from '../config/schema.ts';
import { exitCodes, TmsError, UsageError } from '../errors.ts';
import { readUserText } from '../files/user-file.ts';
import { describePlan } from '../plan/describe.ts';
import { tmsHome } from '../python/paths.ts';
import { gateOf } from '../report/gate.ts';
import { describeResolution, resolutionOf } from '../report/resolution.ts';
import { type Results, readResults } from '../report/results.ts';
import { analyse } from '../report/rows.ts';
import { finalTable } from '../report/table.ts';
import { writeReport } from '../report/write-report.ts';
import { inspectRun } from '../run/existing-run.ts';
import { resultModel } from '../run/trainings.ts';
import { checkDisk } from '../runner/check-disk.ts';
import { executeRun, placesOf, refuseOccupied } from '../runner/execute.ts';
import { prepareMeasures, prepareRun } from '../runner/prepare.ts';
import { refuseOtherMethod, refuseOtherResults } from '../runner/resume.ts';
import { startWorker } from '../worker/start.ts';
import { shellWord } from './arguments.ts';
import { holdToGate, junitOption, refuseIdleJunit } from './gate.ts';
import { type CliContext, type Terminal, terminalProgress } from './terminal.ts';
import { type AtWork, withStoppableWorker, workerOptions } from './with-worker.ts';

interface RunFlags {
  set: string[];
  resume?: boolean;
  dryRun?: boolean;
  json?: boolean;
  junit?: string;
}

/** `tms run`, `tms resume` and `tms plan`. */
export function addRunCommands(program: Command, context: CliContext): void {
  program
    .command('run')
    .summary('train as a configuration says, and report')
    .description(
      'Train as a configuration says, with every training that its method needs, evaluate on the way, and write a report.',
    )
    .argument('<file>', 'configuration (YAML); configs/README.md lists those that come with tms')
    .option(
      '--set <key=value>',
      'override a key, e.g. tms.alpha=0.5 (can be repeated); method=NAME (or the path of a file) leaves out what the file says of its own method',
      collect,
      [],
    )
    .option('--resume', 'go on with the interrupted run in output_dir')
    .option('--dry-run', 'print the plan and stop, as tms plan does')
    .option(...junitOption)
    .addHelpText('after', runExamples)
    .action((file: string, flags: RunFlags) =>
      flags.dryRun ? plan(file, flags, context) : run(file, flags, context),
    );
  program
    .command('resume')
    .summary('go on with an interrupted run')
    .description('Go on with the interrupted run in a directory, with the configuration it was begun with.')
    .argument('<dir>', 'output_dir of the run')
    .option(
      '--set <key=value>',
      'change a key that changes no result but for its last bits, e.g. worker.token_budget=512 (can be repeated)',
      collect,
      [],
    )
    .option(...junitOption)
    .action((directory: string, flags: RunFlags) => resume(directory, flags, context));
  program
    .command('plan')
    .summary('what a run would do, and what it would take')
    .description(
      'Print what a run would do, step by step, what it would take (tokens, disk, memory, time, and its price where price_per_hour is given) and how small a loss its retention sets can show. Trains nothing.',
    )
    .argument('<file>', 'configuration (YAML)')
    .option('--set <key=value>', 'override a key, as for tms run (can be repeated)', collect, [])
    .option('--json', 'print the plan as JSON')
    .action((file: string, flags: RunFlags) => plan(file, flags, context));
}

const runExamples = `
Ctrl-C, SIGTERM and a closed terminal (SIGHUP; not under nohup) stop at
the next safe point, a second one at once; either way --resume goes on to
the same result.

Examples:
  $ npx tms run configs/quickstart.yaml
  $ npx tms run my.yaml --set output_dir=runs/a5 --set tms.alpha=0.5
  $ npx tms run my.yaml --resume
  $ npx tms run my.yaml --set retention.max_drop=0.05 --junit kept.xml   # exit code 2 where more is surely lost`;

function collect(value: string, values: string[]): string[] {
  return [...values, value];
}

async function run(file: string, flags: RunFlags, context: CliContext): Promise<void> {
  const { config, input } = await loadRun(file, flags.set);
  await execute(config, input, flags, context);
}

async function resume(directory: string, { set: sets, junit }: RunFlags, context: CliContext): Promise<void> {
  const saved = join(directory, 'config.resolved.yaml');
  if (!existsSync(saved))
    throw new UsageError(`${directory} holds no run to resume`, { fix: 'name the output_dir of a run' });
  if (sets.some(text => text.trimStart().startsWith('output_dir')))
    throw new UsageError(`--set output_dir means nothing beside the directory ${directory}`, {
      fix: 'name the directory where the run lies now',
    });
  const method = methodIn(readUserText(saved, 'the configuration'), saved);
  await importMethod(method);
  refuseOtherMethod(directory, method); // its block may be another by now
  const { config, input } = await loadRun(saved, [...sets, `output_dir=${JSON.stringify(directory)}`]);
  await execute(config, input, { set: [], resume: true, ...(junit !== undefined && { junit }) }, context);
}

async function execute(
  config: RunConfig,
  input: string,
  flags: RunFlags,
  context: CliContext,
): Promise<void> {
  const { env, version } = context;
  const { resume = false, junit } = flags;
  refuseIdleJunit(junit, config.retention.max_drop);
  refuseOccupied(config.output_dir, resume);
  if (resume) refuseOtherResults(config);
  const work = async (at: AtWork) => {
    try {
      await executeRun(config, { ...at, home: tmsHome(env), input, tmsVersion: version, resume });
    } catch (error) {
      context.goOn = commandThatGoesOn(config.output_dir, error);
      throw error;
    }
  };
  // A run that is finished has its report, whatever is heard meanwhile.
  await withStoppableWorker(config, context, work, () => printResults(config.output_dir, junit, context));
}

/** Null where nothing was begun, where the error says it already, or where it must be mended first. */
function commandThatGoesOn(path: string, error: unknown): string | null {
  const isRefusal =
    error instanceof TmsError && (error.exitCode === exitCodes.usage || error.fix?.includes('tms resume'));
  return isRefusal || inspectRun(path) !== 'run' ? null : `npx tms resume ${shellWord(path)}`;
}

async function printResults(
  path: string,
  junit: string | undefined,
  { terminal }: CliContext,
): Promise<void> {
  const { html, markdown } = await writeReport(path);
  const results = await readResults(path);
  for (const line of finalTable(results)) terminal.print(line);
  terminal.print('');
  terminal.print(`report  ${html}\n        ${markdown}`);
  printModel(path, results, terminal);
  holdToGate(gateOf(analyse(results)), { name: results.name, junit });
}

function printModel(path: string, { trainings }: Results, terminal: Terminal): void {
  const saved = resultModel(path, trainings); // under the path as it was given
  if (saved === null) return;
  const { path: model } = saved;
  const isAdapter = existsSync(join(model, 'adapter_config.json'));
  const loader = isAdapter ? 'AutoPeftModelForCausalLM' : 'AutoModelForCausalLM';
  terminal.print(
    `model   ${model}\n        ${loader}.from_pretrained("${model}")    # ${isAdapter ? 'peft' : 'transformers'}`,
  );
  terminal.print(`try it  npx tms generate ${model}`);
}

async function plan(file: string, flags: RunFlags, context: CliContext): Promise<void> {
  const { terminal, env } = context;
  const { config } = await loadRun(file, flags.set);
  const progress = terminalProgress(terminal);
  const worker = await startWorker(workerOptions(config, context));
  try {
    const surroundings = { worker, home: tmsHome(env), progress, signal: new AbortController().signal };
    const prepared = await prepareRun(config, surroundings);
    const { evaluation } = await prepareMeasures(prepared, surroundings.home);
    for (const note of evaluation.notes) progress.say(`note: ${note}`);
    await prepared.prepared.close();
    progress.clear();
    const sets = evaluation.sets.filter(({ role }) => role === 'retention');
    const sizes = sets.map(({ name, questions }) => ({ name, items: questions.length }));
    const retention = resolutionOf(sizes, config.retention.margin);
    if (flags.json) terminal.print(JSON.stringify({ ...prepared.plan, retention }, null, 2));
    else
      for (const line of [...describePlan(prepared.plan), ...describeResolution(retention)])
        terminal.print(line);
    for (const name of prepared.stored)
      terminal.note(`the training ${name} is in the store: it would not be trained again`);
    checkDisk(prepared.plan, placesOf(prepared, tmsHome(env)));
  } finally {
    await worker.close();
  }
}
