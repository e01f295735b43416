import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type SuiteEntry, setOfSuite } from '../config/suites.ts';
import { stoppedBy, UsageError } from '../errors.ts';
import { lmEvalIn } from '../evaluation/lm-eval.ts';
import { tmsHome } from '../python/paths.ts';
import { compareModels, modelTable } from '../report/model-comparison.ts';
import { configOf, type MeasuredModel, type Measurement, measureModels } from '../runner/measure-model.ts';
import { useStore } from '../store/in-use.ts';
import { openStore } from '../store/store.ts';
import { taskNamed } from '../tasks/index.ts';
import { untilStopped } from '../training/until-stopped.ts';
import { startWorker } from '../worker/start.ts';
import { collect, integerFrom, numberWithin } from './arguments.ts';
import { recordOf, writeEvaluation } from './eval-files.ts';
import { checkModel } from './generate.ts';
import { listenForStop } from './interrupt.ts';
import { type CliContext, terminalProgress } from './terminal.ts';

interface EvalFlags {
  base?: string;
  tuned?: string;
  suite?: string[];
  data?: string;
  limit?: number;
  fewshot?: number;
  maxNewTokens?: number;
  metric?: string;
  chat?: boolean;
  system?: string;
  margin: number;
  revision?: string;
  trustRemoteCode?: boolean;
  dtype: 'float32' | 'bfloat16';
  device: string;
  seed: number;
  output?: string;
  json?: boolean;
}

/** `tms eval`: suites on any model, or on two of them, paired. */
export function addEvalCommand(program: Command, context: CliContext): void {
  program
    .command('eval')
    .summary('measure any model on benchmarks; two of them, paired')
    .description(
      'Measure a model on suites: a directory in Hugging Face layout, a LoRA directory or a hub id, whether tms made it or not. With ' +
        '--base and --tuned measure two on the same items and print paired changes with intervals, verdicts and flips. What was ' +
        'measured of some weights is kept in the store and not measured again.',
    )
    .argument('[model]', 'directory or hub id')
    .option('--base <model>', 'the model before')
    .option('--tuned <model>', 'the model after, held against it')
    .option(
      '--suite <names>',
      'NAME, NAME=PATH (a file, or a folder of data sets), lm_eval:TASK, or lm_eval:TASK=FOLDER of your own tasks; several with commas',
      (text: string, before: string[] = []) =>
        text.split(',').reduce((all, one) => collect(one.trim(), all), before),
    )
    .option('--data <folder>', 'folder of data sets (docs/tasks.md); default: the hub')
    .option('--limit <count>', 'items of each suite', integerFrom(1))
    .option('--fewshot <count>', 'examples before each question, where a task has some', integerFrom(0))
    .option('--metric <name>', 'what says whether a document is right, of lm-eval’s tasks')
    .option(
      '--max-new-tokens <count>',
      'longest answer in tokens (default: as the task says)',
      integerFrom(1),
    )
    .option('--chat', 'ask everything in the chat template (default: as tasks say, else where there is one)')
    .option('--no-chat', 'ask everything as plain text')
    .option('--system <text>', 'system message before each prompt in the chat template')
    .option(
      '--margin <share>',
      'largest loss that still counts as kept',
      numberWithin({ from: 0, to: 1 }),
      0.02,
    )
    .option('--revision <name>', 'branch, tag or commit of a hub id')
    .option('--trust-remote-code', 'run Python code that comes with the model')
    .option(
      '--dtype <name>',
      'float32 or bfloat16: how weights are held and computed with',
      dtypeOf,
      'float32',
    )
    .option('--device <name>', 'cpu, cuda, cuda:1, …; auto: a GPU where there is one', 'auto')
    .option('--seed <number>', 'seed of what is sampled', integerFrom(0, 2 ** 32 - 1), 0)
    .option('--output <folder>', 'write results, every document and lm-eval’s own files there')
    .option('--json', 'print the results as JSON')
    .addHelpText('after', examples)
    .action((model: string | undefined, flags: EvalFlags) => evaluate(model, flags, context));
}

const examples = `
Suites: tms tasks of docs/tasks.md by name; lm-eval's need npx tms setup --with lm_eval.

Examples:
  $ npx tms eval Qwen/Qwen2.5-1.5B-Instruct --suite arc_challenge,mmlu --limit 200
  $ npx tms eval runs/my/models/NAME --suite hotpotqa --data ../data --json
  $ npx tms eval --base HuggingFaceTB/SmolLM2-135M-Instruct --tuned runs/my/models/NAME \\
      --suite arc_challenge,ifeval,lm_eval:hellaswag --output results/my
  $ npx tms eval MODEL --suite lm_eval:my_task=tasks              # tasks/my_task.yaml`;

function dtypeOf(text: string): EvalFlags['dtype'] {
  if (text === 'float32' || text === 'bfloat16') return text;
  throw new UsageError(`--dtype ${text}: there is no such type`, { fix: 'float32 or bfloat16' });
}

async function evaluate(given: string | undefined, flags: EvalFlags, context: CliContext): Promise<void> {
  const { terminal, env } = context;
  const models = modelsOf(given, flags);
  for (const { model } of models) checkModel(model, 'eval');
  const { data: folder = null, system = null, chat = null, seed } = flags;
  const suites = suitesOf(flags);
  const asked = { suites, folder, systemPrompt: system, isChat: chat, seed };
  configOf('model', asked); // everything that is wrong with the suites, before a model is loaded
  refuseOutput(flags.output);
  const progress = terminalProgress(terminal);
  const stop = listenForStop(line => progress.say(line), env);
  const lmEval = lmEvalIn(null);
  const release = await useStore(openStore(tmsHome(env)), line => progress.say(line));
  try {
    const { signal } = stop;
    const starting = startWorker({ report: line => terminal.note(line) });
    const worker = await untilStopped(signal, starting, late => late.close());
    try {
      const measurement = { ...asked, worker, lmEval, home: tmsHome(env), progress, signal };
      const measured = await measureAll(models, measurement, flags);
      progress.clear();
      print(models, measured, flags, context);
    } catch (error) {
      const goOn = 'the same command goes on: suites that were measured are in the store';
      throw signal.aborted ? stoppedBy(signal, 'interrupted', goOn) : error;
    } finally {
      progress.clear();
      await worker.close();
    }
  } finally {
    release();
    await lmEval.close();
    stop.release();
  }
}

/** What each model is called in results and folders. */
type Named = { readonly label: string; readonly model: string };

function modelsOf(given: string | undefined, { base, tuned }: EvalFlags): Named[] {
  if (given !== undefined && (base ?? tuned) !== undefined)
    throw new UsageError(`${given} is given and --base or --tuned as well`, {
      fix: 'one model, or --base A --tuned B',
    });
  if (given !== undefined) return [{ label: 'model', model: given }];
  if (base !== undefined && tuned !== undefined)
    return [
      { label: 'base', model: base },
      { label: 'tuned', model: tuned },
    ];
  if (base === undefined && tuned === undefined)
    throw new UsageError('there is no model to measure', { fix: 'npx tms eval MODEL --suite …' });
  throw new UsageError(`--${base === undefined ? 'tuned' : 'base'} stands alone`, {
    fix: 'give --base A --tuned B',
  });
}

/** With what the options say of all of them. Throws `UsageError` for a name that there is not. */
function suitesOf(flags: EvalFlags): SuiteEntry[] {
  const { suite: names = [] } = flags;
  if (names.length === 0)
    throw new UsageError('there is no suite', {
      fix: 'such as --suite arc_challenge,mmlu; docs/tasks.md lists them',
    });
  return names.map(text => suiteOf(text, flags));
}

/** NAME or NAME=PATH, with what the options say of it. */
function suiteOf(text: string, flags: EvalFlags): SuiteEntry {
  const { limit, fewshot, metric, maxNewTokens, chat, data = null } = flags;
  const [name = '', path] = text.split(/=(.*)/s);
  const task = taskNamed(name);
  const isAnswered = task !== undefined && task.settings.scorer !== 'multiple_choice';
  const said = {
    ...{ path, limit, as_chat: chat },
    ...(name.startsWith('lm_eval:') && { metric }),
    ...((name.startsWith('lm_eval:') || task?.shots !== undefined) && { num_fewshot: fewshot }),
    ...(isAnswered && { max_new_tokens: maxNewTokens }),
  };
  const entry = {
    name,
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
  };
  const made = setOfSuite(entry, data);
  if ('set' in made) return entry;
  const { found, expected, hint } = made.problem;
  const fix = task === undefined ? hint : `--data FOLDER, or --suite ${name}=PATH`;
  throw new UsageError(`--suite ${text}: found ${found}, expected ${expected}`, { fix });
}

function refuseOutput(output: string | undefined): void {
  if (output === undefined) return;
  if (existsSync(join(output, 'evaluation.json')))
    throw new UsageError(`${output} holds an evaluation already`, {
      fix: 'choose another folder with --output',
    });
  if (statSync(output, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new UsageError(`${output} is a file`, { fix: 'choose a folder with --output' });
  mkdirSync(output, { recursive: true });
}

function measureAll(models: readonly Named[], measurement: Measurement, flags: EvalFlags) {
  const { dtype, device, seed, revision = null, trustRemoteCode = false, output } = flags;
  const all = models.map(({ label, model }) => ({
    options: { model, dtype, computeDtype: dtype, device, seed, revision, trustRemoteCode },
    lmEvalOutput: output === undefined ? null : join(output, label, 'lm_eval'),
  }));
  return measureModels(all, measurement);
}

function print(
  models: readonly Named[],
  measured: readonly MeasuredModel[],
  flags: EvalFlags,
  { terminal }: CliContext,
): void {
  const [base, tuned] = measured.map(({ sets }) => sets.map(({ record }) => record));
  const comparison = compareModels(base ?? [], tuned ?? null, flags.margin);
  const named = models.map((one, i) => ({ ...one, measured: measured[i] as MeasuredModel }));
  if (flags.output !== undefined) writeEvaluation(flags.output, named, comparison);
  if (flags.json) {
    terminal.print(JSON.stringify(recordOf(named, comparison), null, 2));
    return;
  }
  for (const {
    label,
    model,
    measured: { info },
  } of named)
    terminal.print(`${label.padEnd(6)} ${model}  (${info.computeDtype} on ${info.device})`);
  terminal.print('');
  for (const line of modelTable(comparison)) terminal.print(line);
  if (flags.output !== undefined) terminal.print(`\nresults  ${flags.output}`);
}
