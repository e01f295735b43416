/**
 * A run must not lose what it uses. Each one holds a lock of its own in `in-use/` while it lives, and takes `lock` for the moment in
 * which it sets that up; pruning holds `lock` throughout and first looks for runs, so neither can begin amid the other. A run that finds
 * no other one removes what killed ones had begun to write.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { TmsError, UsageError } from '../errors.ts';
import { removeQuietly } from '../files/atomic.ts';
import { holdLock, withLock } from '../files/lock.ts';
import { leftoversIn } from './leftovers.ts';
import type { Store } from './store.ts';

/** Keep everything in the store from being pruned until the function returned is called, or this process ends. Waits for a pruning. */
export async function useStore(store: Store, say: (line: string) => void): Promise<() => void> {
  const marker = join(store.root, 'in-use', `${process.pid}-${randomBytes(4).toString('hex')}`);
  return withLock(
    lockPath(store),
    holder => say(`waiting for ${holder}, which prunes the store`),
    async () => {
      for (const name of markersIn(store)) removeDead(store, join(store.root, 'in-use', name));
      // Of a run on another machine the number of a process tells nothing.
      if (markersIn(store).length === 0) leftoversIn(store).forEach(removeQuietly);
      return holdLock(marker, `the store ${store.root}`);
    },
  );
}

/** Run `work` while no run uses the store and none can begin to. Throws `UsageError` that names the process which does. */
export function whileUnused<T>(store: Store, work: () => T): T {
  const release = holdLock(lockPath(store), `the store ${store.root}`);
  try {
    for (const name of markersIn(store)) refuseLive(store, join(store.root, 'in-use', name));
    return work();
  } finally {
    release();
  }
}

/** Note that an item was used now: what is pruned first is the longest unused. */
export function touch(path: string): void {
  const now = new Date();
  if (existsSync(path)) utimesSync(path, now, now);
}

function lockPath({ root }: Store): string {
  return join(root, 'lock');
}

function markersIn({ root }: Store): string[] {
  const folder = join(root, 'in-use');
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** A killed run leaves its marker; whoever can take it over has found its owner dead. */
function removeDead({ root }: Store, marker: string): void {
  try {
    holdLock(marker, `the store ${root}`)();
  } catch {
    // In use, or not to be removed: pruning will say so.
  }
}

/** Whoever can take a marker over has found its owner dead; it is then removed. */
function refuseLive({ root }: Store, marker: string): void {
  try {
    holdLock(marker, `the store ${root}`)();
  } catch (cause) {
    if (!(cause instanceof TmsError)) throw cause;
    throw new UsageError(cause.message, {
      fix: `wait for it to end, or stop it; if it is no run of tms, remove ${marker}`,
      cause,
    });
  }
}
