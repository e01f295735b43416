/** A run from beginning to end: prepare, take the directory, run the method, report. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { guessedSettings } from '../config/guessed.ts';
import { configToYaml } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { InterruptedError, UsageError } from '../errors.ts';
import { evaluationDigests } from '../evaluation/context.ts';
import { translateSystemError } from '../files/system-error.ts';
import type { EnvironmentRecord } from '../run/records.ts';
import { inspectRun, RunDirectory, readRunRecord, refuseInUse } from '../run/run-directory.ts';
import type { Progress, RunContext } from '../stages/run-context.ts';
import { dropOldStates } from '../stages/train.ts';
import { useStore } from '../store/in-use.ts';
import { openStore } from '../store/store.ts';
import { checkDisk, type DiskPlaces } from './disk.ts';
import { gitState } from './git-state.ts';
import { type PreparedRun, prepareMeasures, prepareRun, type Surroundings } from './prepare-run.ts';
import { goOn, refuseOtherBits, refuseOtherResults } from './resume.ts';
import { runSft } from './sft.ts';
import { noteThroughput } from './throughput.ts';
import { runTms } from './tms.ts';
import { untilStopped } from './until-stopped.ts';

export type RunOptions = Surroundings & {
  /** The file as the person wrote it, kept beside the resolved configuration. */
  readonly input: string;
  readonly tmsVersion: string;
  readonly resume: boolean;
};

/** Run the method that the configuration names; returns the run directory's path. Throws whatever ends the run; it can then be resumed. */
export async function executeRun(config: RunConfig, options: RunOptions): Promise<string> {
  methodOf(config.method);
  refuseOccupied(config.output_dir, options.resume);
  if (options.resume) refuseOtherResults(config);
  const preparing = <T>(work: Promise<T>, discard?: (late: T) => unknown) =>
    untilStopped(options.signal, work, discard).catch(error => {
      throw options.signal.aborted ? stoppedWhilePreparing(config, options) : error;
    });
  const say = (line: string) => options.progress.say(line);
  await preparing(refuseInUse(config.output_dir, say));
  const using = useStore(openStore(options.home), say);
  const release = await preparing(using, late => late());
  try {
    const prepared = await preparing(prepareRun(config, options), late => late.prepared.close());
    try {
      if (options.resume) refuseOtherBits(config, prepared.numerics);
      else checkDisk(prepared.plan, placesOf(prepared, options.home));
      const measures = await preparing(prepareMeasures(prepared, options.home));
      return await runIn(config, { ...prepared, ...measures }, options);
    } finally {
      await prepared.prepared.close();
    }
  } finally {
    release();
  }
}

/** Where a run writes. */
export function placesOf({ config, finishedSft }: PreparedRun, home: string): DiskPlaces {
  return { output: config.output_dir, home, hasCheckpoints: finishedSft !== null };
}

/** Nothing was written yet: what there is to go on with is what was there before. */
function stoppedWhilePreparing({ output_dir: path }: RunConfig, { signal, resume }: RunOptions): Error {
  const fix = resume ? `go on with: tms resume ${path}` : 'begin again with the same command';
  return interrupted(signal, 'interrupted while preparing; nothing was begun', fix);
}

type MeasuredRun = PreparedRun & Awaited<ReturnType<typeof prepareMeasures>>;

async function runIn(config: RunConfig, prepared: MeasuredRun, options: RunOptions): Promise<string> {
  const { progress, signal, home } = options;
  for (const note of prepared.evaluation.notes) progress.say(`note: ${note}`);
  const directory = openDirectory(config, prepared, options);
  try {
    if (options.resume) goOn(directory, config, { ...prepared, form: prepared.prepared.form });
    writeFacts(directory, config, { ...prepared, input: options.input });
    await runMethod({ ...prepared, directory, reached: reachedOf(directory) });
    directory.finish('finished');
  } catch (cause) {
    const { output_dir: path } = config;
    const error = signal.aborted
      ? interrupted(
          signal,
          `interrupted; ${path} holds everything up to here`,
          `go on with: tms resume ${path}`,
        )
      : translateSystemError(cause);
    recordEnd(directory, error, progress);
    throw error;
  } finally {
    directory.close();
  }
  noteThroughput(home, prepared.environmentKey, directory.file('timing.jsonl'));
  return directory.path;
}

/** With the exit code that the signal asks for. */
function interrupted({ reason }: AbortSignal, message: string, fix: string): InterruptedError {
  const exitCode = reason instanceof InterruptedError ? reason.exitCode : undefined;
  return new InterruptedError(message, { fix, cause: reason, exitCode });
}

/** What ended the run is thrown whether or not its record can still be written: a full disk often allows neither. */
function recordEnd(directory: RunDirectory, error: unknown, progress: Progress): void {
  try {
    const isInterrupted = error instanceof InterruptedError;
    directory.finish(
      isInterrupted ? 'interrupted' : 'failed',
      isInterrupted ? null : (error as Error).message,
    );
  } catch (second) {
    progress.say(`run.json still says "running": ${(translateSystemError(second) as Error).message}`);
  }
}

async function runMethod(run: RunContext): Promise<void> {
  const { directory, progress, finishedSft, reached, plan } = run;
  if (directory.droppedLedgerLines > 0)
    progress.say(
      `ledger: ${directory.droppedLedgerLines} damaged lines at its end are cut off; their work is done again`,
    );
  if (finishedSft !== null && reached.get('sft') !== plan.sft.steps)
    progress.say('the SFT stage is in the store: it is not trained again');
  dropOldStates(run);
  for (const caution of plan.cautions) progress.say(`caution: ${caution}`);
  await methodOf(plan.method)(run);
}

const methods = { sft: runSft, tms: runTms } satisfies Record<RunConfig['method'], unknown>;

/** Throws for a name that no method has, which a configuration that was checked cannot have. */
function methodOf(name: RunConfig['method']): (run: RunContext) => Promise<void> {
  if (!Object.hasOwn(methods, name)) throw new Error(`there is no method ${name}`);
  return methods[name];
}

/** Refuse early, before a model is loaded, and say what can be done instead. */
export function refuseOccupied(path: string, isResume: boolean): void {
  const found = inspectRun(path);
  if (found === 'free' && isResume)
    throw new UsageError(`${path} holds no run to resume`, { fix: 'leave --resume out to begin one' });
  if (found === 'other') {
    throw new UsageError(`output_dir ${path} is not empty and holds no run of tms`, {
      fix: 'choose another: --set output_dir=NEW',
    });
  }
  refuseUnwritable(path);
  if (found !== 'run' || isResume) return;
  const { status } = readRunRecord(path);
  throw new UsageError(`output_dir ${path} holds a run already (${status})`, {
    fix:
      status === 'finished'
        ? 'choose another: --set output_dir=NEW (SFT stages and answers that fit are taken from the store), or delete it'
        : 'go on with --resume, or choose another: --set output_dir=NEW (what fits is taken from the store)',
  });
}

/** A disk that cannot be written to is better found before the model is loaded than after. */
function refuseUnwritable(path: string): void {
  let place = resolve(path);
  try {
    while (statSync(place, { throwIfNoEntry: false }) === undefined) place = dirname(place);
    accessSync(place, constants.W_OK | constants.X_OK);
    readdirSync(place);
  } catch (cause) {
    const why = (translateSystemError(cause) as Error).message;
    throw new UsageError(`output_dir ${path} cannot be written: ${why}`, {
      fix: 'choose another: --set output_dir=NEW',
      cause,
    });
  }
}

function openDirectory(config: RunConfig, prepared: MeasuredRun, options: RunOptions): RunDirectory {
  const { tmsVersion, resume } = options;
  const identity = { ...prepared.identity, evaluationDigests: evaluationDigests(prepared.evaluation) };
  const id = randomBytes(6).toString('hex');
  return resume
    ? RunDirectory.resume(config.output_dir, identity)
    : RunDirectory.create(config.output_dir, {
        id,
        method: config.method,
        tmsVersion,
        templateDate: prepared.templateDate,
        numerics: prepared.numerics,
        ...identity,
      });
}

function writeFacts(
  directory: RunDirectory,
  config: RunConfig,
  prepared: PreparedRun & { readonly input: string },
): void {
  const files = {
    'config.input.yaml': prepared.input,
    'config.resolved.yaml': configToYaml(config, prepared.prepared.form),
    'plan.json': `${JSON.stringify({ ...prepared.plan, guessed: guessedSettings(config) }, null, 2)}\n`,
    'environment.json': `${JSON.stringify(environmentOf(prepared), null, 2)}\n`,
  };
  for (const [name, content] of Object.entries(files))
    if (!existsSync(directory.file(name))) directory.write(name, content);
}

function environmentOf({ status, model }: PreparedRun): EnvironmentRecord {
  const { versions, threads, determinism, deviceName } = status;
  return {
    versions,
    device: deviceName,
    threads,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    determinism: { ...determinism, strict_sampling: String(model.strictSampling) },
    git: gitState(),
    notes: model.notes,
  };
}

function reachedOf(directory: RunDirectory): RunContext['reached'] {
  return new Map((['sft', 'student', 'control'] as const).map(stage => [stage, directory.trainedTo(stage)]));
}
