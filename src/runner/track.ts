/** Curves of a run elsewhere: a process for each tracker reads the run directory, and no trouble of it reaches the run. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { RunConfig } from '../config/schema.ts';
import { ensurePython } from '../python/make-environment.ts';
import { installExtraInto } from '../python/own-environment.ts';
import { projectRoot } from '../python/paths.ts';

/** Where numbers can go, beside the files of a run. */
export type TrackerName = RunConfig['report_to'][number];

export type TrackOptions = {
  readonly directory: string;
  /** Name of the run; by default that of its directory. */
  readonly name: string | null;
  readonly to: readonly TrackerName[];
  readonly python: string | null;
  /** Until `close`; without it what is there is sent, and no more. */
  readonly follow: boolean;
  readonly say: (line: string) => void;
  /** How long `close` waits for what is under way. */
  readonly patienceSeconds?: number;
};

/** `close`: the run is over, its last lines are to be sent; it waits a little, and returns the trackers that have not all of it. */
export type Tracking = { readonly close: () => Promise<TrackerName[]> };

/** Start a process for each tracker; what is wrong with one is a warning, never an error. */
export function startTracking(options: TrackOptions): Tracking {
  const { patienceSeconds = 20, directory } = options;
  const started = options.to.map(tracker => ({ tracker, process: startTracker(tracker, options) }));
  const close = async () => {
    const ends = started.map(async ({ tracker, process }) => {
      const running = await process;
      return (await running?.end(patienceSeconds)) ? [] : [tracker];
    });
    const late = (await Promise.all(ends)).flat();
    for (const tracker of late)
      options.say(`${tracker} has not all of the run: tms track ${directory} --to ${tracker} sends the rest`);
    return late;
  };
  return { close };
}

type RunningTracker = { readonly end: (patienceSeconds: number) => Promise<boolean> };

async function startTracker(tracker: TrackerName, options: TrackOptions): Promise<RunningTracker | null> {
  const directory = resolve(options.directory);
  const warn = (what: string, fix?: string | null) => {
    const advice = fix ? ` (fix: ${fix})` : '';
    options.say(
      `warning: ${tracker}: ${what}${options.follow ? '; the run goes on without it' : ''}${advice}`,
    );
  };
  try {
    const { path: python } = await ensurePython({ python: options.python ?? undefined });
    mkdirSync(join(directory, 'trackers'), { recursive: true });
    const name = options.name ?? basename(directory);
    const args = ['-m', 'py_worker.track', directory, '--to', tracker, '--name', name];
    const child = spawn(python, [...args, ...(options.follow ? ['--follow'] : [])], {
      detached: true, // Ctrl-C is for the run: the tracker still sends what it wrote
      env: { ...process.env, PYTHONPATH: projectRoot(), CUDA_VISIBLE_DEVICES: '' },
    });
    child.stdin.on('error', () => {}); // it may be gone already
    child.stderr.pipe(createWriteStream(join(directory, 'trackers', `${tracker}.log`), { flags: 'a' }));
    const hear = (text: string) => {
      const { say, warning, fix, extra } = JSON.parse(text) as Record<string, string | null>;
      if (say) options.say(`curves: ${say}`);
      if (warning) warn(warning, extra ? installExtraInto(python, extra) : fix);
    };
    createInterface({ input: child.stdout }).on('line', hear);
    return { end: ending(child, error => warn(error.message)) };
  } catch (error) {
    warn((error as Error).message);
    return null;
  }
}

/** Its standard input ends, which tells it to send the rest; what is not done in time is killed, with what it started. */
function ending(
  child: ChildProcessWithoutNullStreams,
  onError: (error: Error) => void,
): RunningTracker['end'] {
  const ended = new Promise<boolean>(done => {
    child.once('error', error => {
      onError(error);
      done(false);
    });
    child.once('close', code => done(code === 0));
  });
  return async patienceSeconds => {
    child.stdin.end();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>(done => {
      timer = setTimeout(() => done(false), patienceSeconds * 1000);
    });
    const isDone = await Promise.race([ended, late]);
    clearTimeout(timer);
    if (child.exitCode === null && child.pid !== undefined) stopGroup(child.pid);
    return isDone;
  };
}

function stopGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
