/** A run from beginning to end: prepare, take the directory, run the method, report. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type RunConfig, settingsOf } from '../config/schema.ts';
import { InterruptedError, stoppedBy, UsageError } from '../errors.ts';
import { evaluationDigests } from '../evaluation/prepare-evaluation.ts';
import { translateSystemError } from '../files/system-error.ts';
import type { MethodPlan } from '../plan/plan.ts';
import {
  changedInputs,
  inspectRun,
  type RunIdentity,
  readRunRecord,
  refuseInUse,
} from '../run/existing-run.ts';
import { RunDirectory } from '../run/run-directory.ts';
import { useStore } from '../store/in-use.ts';
import { openStore } from '../store/store.ts';
import { Background } from '../training/background.ts';
import type { Progress, Run } from '../training/run.ts';
import type { Samplers } from '../training/samplers.ts';
import { Trainer } from '../training/trainer.ts';
import { untilStopped } from '../training/until-stopped.ts';
import { checkDisk, type DiskPlaces } from './check-disk.ts';
import { noteThroughput } from './environment.ts';
import { methodsOf } from './make-plan.ts';
import { noteParity } from './note-parity.ts';
import { type PreparedRun, prepareMeasures, prepareRun, type Surroundings } from './prepare.ts';
import { goOn, refuseOtherBits, refuseOtherResults } from './resume.ts';
import { samplersOf } from './samplers-of.ts';
import { startTracking } from './track.ts';
import { writeFacts } from './write-facts.ts';

export type RunOptions = Surroundings & {
  /** The file as the person wrote it, kept beside the resolved configuration. */
  readonly input: string;
  readonly tmsVersion: string;
  readonly resume: boolean;
};

/** Run the method that the configuration names; returns the run directory's path. Throws whatever ends the run; it can then be resumed. */
export async function executeRun(config: RunConfig, options: RunOptions): Promise<string> {
  methodsOf(config); // throws for a name that none has
  refuseOccupied(config.output_dir, options.resume);
  if (options.resume) refuseOtherResults(config);
  const preparing = <T>(work: Promise<T>, discard?: (late: T) => unknown) =>
    untilStopped(options.signal, work, discard).catch(error => {
      throw options.signal.aborted ? stoppedWhilePreparing(config, options) : error;
    });
  const say = (line: string) => options.progress.say(line);
  await preparing(refuseInUse(config.output_dir, say));
  const samplers = await preparing(samplersOf(config, options));
  const using = useStore(openStore(options.home), say);
  const release = await preparing(using, late => late());
  try {
    const prepared = await preparing(prepareRun(config, options), late => late.prepared.close());
    try {
      if (options.resume) refuseOtherBits(config, prepared.conditions);
      else checkDisk(prepared.plan, placesOf(prepared, options.home));
      const measures = await preparing(prepareMeasures(prepared, options.home));
      return await runIn(config, { ...prepared, ...measures, samplers }, options);
    } finally {
      await prepared.prepared.close();
    }
  } finally {
    release();
  }
}

/** Where a run writes. */
export function placesOf({ config, stored }: PreparedRun, home: string): DiskPlaces {
  return { output: config.output_dir, home, hasCheckpoints: stored.length > 0 };
}

/** Nothing was written yet: what there is to go on with is what was there before. */
function stoppedWhilePreparing({ output_dir: path }: RunConfig, { signal, resume }: RunOptions): Error {
  const fix = resume ? `go on with: npx tms resume ${path}` : 'begin again with the same command';
  return stoppedBy(signal, 'interrupted while preparing; nothing was begun', fix);
}

type MeasuredRun = PreparedRun &
  Awaited<ReturnType<typeof prepareMeasures>> & { readonly samplers: Samplers | null };

async function runIn(config: RunConfig, prepared: MeasuredRun, options: RunOptions): Promise<string> {
  const { progress, signal, home } = options;
  for (const note of prepared.evaluation.notes) progress.say(`note: ${note}`);
  const directory = openDirectory(config, prepared, options);
  const { samplers } = prepared;
  const background = new Background();
  const { report_to, run_name: name, worker } = config;
  const to = options.repeats === undefined ? report_to : []; // a repetition is no run of its own to trackers
  const say = (line: string) => progress.say(line);
  const tracked = { directory: directory.path, name, to, python: worker.python, follow: true, say };
  const tracking = startTracking(tracked);
  try {
    writeFacts(directory, config, { ...prepared, input: options.input });
    if (options.resume)
      goOn(directory, config, {
        numerics: prepared.conditions,
        form: prepared.prepared.form,
        progress,
      });
    await runMethods({
      ...prepared,
      directory,
      background,
      signal: AbortSignal.any([signal, background.signal]),
    });
    noteParity(directory, samplers);
    directory.finish('finished');
  } catch (cause) {
    const { output_dir: path } = config;
    const error = signal.aborted
      ? stoppedBy(
          signal,
          `interrupted; ${path} holds everything up to here`,
          `go on with: npx tms resume ${path}`,
        )
      : translateSystemError(cause);
    recordEnd(directory, error, progress);
    throw error;
  } finally {
    await samplers?.close();
    directory.close();
    await tracking.close();
  }
  noteThroughput(home, prepared.numerics, directory.file('timing.jsonl'));
  return directory.path;
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

/** The base is measured first, whatever the method: everything is compared with it. */
async function runMethods(run: Run): Promise<void> {
  const { directory, progress, plan, config } = run;
  if (directory.droppedLedgerLines > 0)
    progress.say(
      `ledger: ${directory.droppedLedgerLines} damaged lines at its end are cut off; their work is done again`,
    );
  for (const caution of plan.cautions) progress.say(`caution: ${caution}`);
  const trainer = new Trainer(run);
  try {
    await trainer.evaluate(trainer.base);
    for (const method of methodsOf(config)) {
      const decided = plan.methods[method.name] as MethodPlan;
      const settings = settingsOf(config, method);
      await trainer.runMethod(method.name, () => method.run({ settings, plan: decided, config, trainer }));
    }
  } catch (error) {
    run.background.stop(error);
    throw run.background.signal.reason; // where work beside the training failed, it stopped the rest
  } finally {
    await run.background.close();
    await trainer.close();
  }
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
        ? 'choose another: --set output_dir=NEW (trainings and answers that fit are taken from the store), or delete it'
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
  const { tmsVersion, resume, repeats } = options;
  const identity = { ...prepared.identity, evaluationDigests: evaluationDigests(prepared.evaluation) };
  if (repeats !== undefined) refuseOtherInputs(repeats, identity);
  const id = randomBytes(6).toString('hex');
  return resume
    ? RunDirectory.resume(config.output_dir, identity)
    : RunDirectory.create(config.output_dir, {
        id,
        method: config.method,
        tmsVersion,
        data: [...prepared.sources],
        templateDate: prepared.templateDate,
        numerics: prepared.conditions,
        ...identity,
      });
}

/** Other inputs give another run, which would prove nothing of this one. */
function refuseOtherInputs(path: string, identity: RunIdentity): void {
  const changed = changedInputs(readRunRecord(path), identity);
  if (changed.length === 0) return;
  throw new UsageError(`${path} cannot be repeated: ${changed.join(' and ')} changed since it began`, {
    fix: 'undo the change; what it was made from is in its config.resolved.yaml and run.json',
  });
}
