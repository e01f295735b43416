/** A run from beginning to end: prepare, take the directory, run the method, report. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { guessedSettings } from '../config/guessed.ts';
import { configToYaml } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { InterruptedError, UsageError } from '../errors.ts';
import type { EnvironmentRecord } from '../run/records.ts';
import { inspectRun, RunDirectory, readRunRecord } from '../run/run-directory.ts';
import type { RunContext } from '../stages/run-context.ts';
import { useStore } from '../store/in-use.ts';
import { openStore } from '../store/store.ts';
import { gitState } from './git-state.ts';
import {
  checkDisk,
  type PreparedRun,
  prepareMeasures,
  prepareRun,
  type Surroundings,
} from './prepare-run.ts';
import { runSft } from './sft.ts';
import { noteThroughput } from './throughput.ts';
import { runTms } from './tms.ts';

export type RunOptions = Surroundings & {
  /** The file as the person wrote it, kept beside the resolved configuration. */
  readonly input: string;
  readonly tmsVersion: string;
  readonly resume: boolean;
  /** A run whose finished stages are taken over; they are found in the store. */
  readonly forkFrom: string | null;
};

/** Run the method that the configuration names; returns the run directory's path. Throws whatever ends the run; it can then be resumed. */
export async function executeRun(config: RunConfig, options: RunOptions): Promise<string> {
  refuseOccupied(config.output_dir, options.resume);
  const release = await useStore(openStore(options.home), line => options.progress.say(line));
  try {
    const prepared = await prepareRun(config, options);
    try {
      checkDisk(prepared.plan, config.output_dir);
      return await runIn(config, prepared, options);
    } finally {
      await prepared.prepared.close();
    }
  } finally {
    release();
  }
}

async function runIn(config: RunConfig, prepared: PreparedRun, options: RunOptions): Promise<string> {
  const { progress, signal, home } = options;
  const measures = await prepareMeasures(prepared, home);
  for (const note of measures.evaluation.notes) progress.say(`note: ${note}`);
  const directory = openDirectory(config, prepared, options);
  try {
    await runMethod({ ...prepared, ...measures, directory, reached: reachedOf(directory) });
    directory.finish('finished');
    noteThroughput(home, prepared.environmentKey, directory.file('timing.jsonl'));
  } catch (error) {
    directory.finish(
      signal.aborted ? 'interrupted' : 'failed',
      signal.aborted ? null : (error as Error).message,
    );
    if (!signal.aborted) throw error;
    const fix = `go on with: tms resume ${config.output_dir}`;
    throw new InterruptedError(`interrupted; ${config.output_dir} holds everything up to here`, {
      fix,
      cause: error,
    });
  } finally {
    directory.close();
  }
  return directory.path;
}

async function runMethod(run: RunContext): Promise<void> {
  const { directory, progress, finishedSft, reached, plan } = run;
  if (directory.droppedLedgerLines > 0)
    progress.say(
      `ledger: ${directory.droppedLedgerLines} damaged lines at its end are cut off; their work is done again`,
    );
  if (finishedSft !== null && reached.get('sft') !== plan.sft.steps)
    progress.say('the SFT stage is in the store: it is not trained again');
  await (plan.method === 'tms' ? runTms(run) : runSft(run));
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
  if (found !== 'run' || isResume) return;
  const { status } = readRunRecord(path);
  throw new UsageError(`output_dir ${path} holds a run already (${status})`, {
    fix:
      status === 'finished'
        ? 'choose another: --set output_dir=NEW (SFT stages and answers that fit are taken from the store), or delete it'
        : 'go on with --resume, take its finished stages over with --fork-from, or choose another: --set output_dir=NEW',
  });
}

function openDirectory(config: RunConfig, prepared: PreparedRun, options: RunOptions): RunDirectory {
  const { tmsVersion, forkFrom: parent, resume } = options;
  const id = randomBytes(6).toString('hex');
  const directory = resume
    ? RunDirectory.resume(config.output_dir, prepared.identity)
    : RunDirectory.create(config.output_dir, {
        id,
        method: config.method,
        tmsVersion,
        parent,
        ...prepared.identity,
      });
  const files = {
    'config.input.yaml': options.input,
    'config.resolved.yaml': configToYaml(config),
    'plan.json': `${JSON.stringify({ ...prepared.plan, guessed: guessedSettings(config) }, null, 2)}\n`,
    'environment.json': `${JSON.stringify(environmentOf(prepared), null, 2)}\n`,
  };
  for (const [name, content] of Object.entries(files))
    if (!existsSync(directory.file(name))) directory.write(name, content);
  return directory;
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
