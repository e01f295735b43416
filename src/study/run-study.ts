/**
 * Runs the cells of a study, some at once. A worker stays for the next cell of its slot; a cell that fails loses its worker and nothing
 * else. Of cells that may share trainings one goes first, so that none is trained twice at the same time: what it leaves in the store
 * the others find there.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { stoppedBy } from '../errors.ts';
import { inspectRun } from '../run/existing-run.ts';
import { executeRun } from '../runner/execute.ts';
import type { Progress } from '../training/run.ts';
import type { Worker } from '../worker/worker.ts';
import { stateOf } from './cell-state.ts';
import { type Cell, placeText } from './cells.ts';

export type StudySurroundings = {
  readonly home: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly tmsVersion: string;
  /** Runs at once. */
  readonly jobs: number;
  /** A worker for the cells of a slot, from 0. */
  readonly startWorker: (slot: number, cell: Cell) => Promise<Worker>;
  /** Called when a cell has finished; what it returns is said. */
  readonly onFinished: (cell: Cell) => Promise<string>;
};

/** A cell that did not come to its end, and why. */
export type Failure = { readonly cell: Cell; readonly message: string };

/** Run what is not finished; returns what failed. Throws `InterruptedError` when asked to stop; what was done is kept. */
export async function runStudy(
  study: { readonly output_dir: string; readonly cells: readonly Cell[] },
  surroundings: StudySurroundings,
): Promise<Failure[]> {
  const { signal, jobs, progress } = surroundings;
  const schedule = scheduleOf(
    study.cells.filter(({ config }) => stateOf(config.output_dir).status !== 'finished'),
  );
  const total = study.cells.length;
  let done = total - schedule.left();
  if (done > 0) progress.say(`${done} of ${total} cells are finished already`);
  const slots = Array.from({ length: jobs }, (_, i) => slotOf(i, surroundings));
  const failures: Failure[] = [];
  const work = async (slot: Slot, cell: Cell) => {
    const message = await slot.run(cell);
    schedule.end(cell);
    done += 1;
    if (signal.aborted) return;
    const place = `[${done}/${total}] ${placeText(cell)}`;
    if (message === null) {
      const found = await surroundings.onFinished(cell).catch((error: Error) => error.message);
      return progress.say(`${place}: ${found}`);
    }
    failures.push({ cell, message });
    progress.say(`${place}: failed: ${message}`);
  };
  try {
    await fill(slots, slot => {
      const cell = signal.aborted ? undefined : schedule.next();
      return cell === undefined ? null : work(slot, cell);
    });
  } finally {
    await Promise.all(slots.map(slot => slot.close()));
  }
  if (signal.aborted)
    throw stoppedBy(
      signal,
      `interrupted; ${study.output_dir} holds everything up to here`,
      'go on with the same command: finished cells are not run again, others go on from where they are',
    );
  return failures;
}

/** Keep every slot at work while `begin` finds any; a slot that found none is asked again when another one has ended. */
async function fill(slots: readonly Slot[], begin: (slot: Slot) => Promise<void> | null): Promise<void> {
  const running = new Map<Slot, Promise<void>>();
  for (;;) {
    for (const slot of slots.filter(one => !running.has(one))) {
      const begun = begin(slot);
      if (begun !== null)
        running.set(
          slot,
          begun.finally(() => running.delete(slot)),
        );
    }
    if (running.size === 0) return;
    await Promise.race(running.values());
  }
}

/** Which cell is next. While no cell of a group has ended, one of it runs; the order is that of the file else. */
export function scheduleOf(cells: readonly Pick<Cell, 'id' | 'group'>[]) {
  const waiting = [...cells] as Cell[];
  const led = new Set<string>();
  const leading = new Set<string>();
  return {
    left: () => waiting.length,
    next(): Cell | undefined {
      const i = waiting.findIndex(({ group }) => led.has(group) || !leading.has(group));
      const [cell] = i === -1 ? [] : waiting.splice(i, 1);
      if (cell !== undefined && !led.has(cell.group)) leading.add(cell.group);
      return cell;
    },
    end({ group }: Pick<Cell, 'group'>): void {
      led.add(group);
    },
  };
}

type Slot = ReturnType<typeof slotOf>;

function slotOf(index: number, surroundings: StudySurroundings) {
  const { home, signal, tmsVersion, progress } = surroundings;
  let worker: Worker | null = null;
  const close = async () => {
    const closing = worker;
    worker = null;
    await closing?.close();
  };
  return {
    close,
    /** Null where it came to its end, else why not. */
    async run(cell: Cell): Promise<string | null> {
      const path = cell.config.output_dir;
      mkdirSync(path, { recursive: true });
      const log = `${path}.log`;
      const say = (line: string) => appendFileSync(log, `${line}\n`);
      const update: Progress['update'] = (what, ...rest) =>
        progress.update(`${placeText(cell)}: ${what}`, ...rest);
      try {
        worker ??= await surroundings.startWorker(index, cell);
        const resume = inspectRun(path) === 'run';
        const own = { input: cell.input, tmsVersion, resume, progress: { say, update } };
        await executeRun(cell.config, { worker, home, signal, ...own });
        return null;
      } catch (error) {
        await close();
        say((error as Error).stack ?? String(error));
        return `${(error as Error).message} (${log})`;
      }
    },
  };
}
