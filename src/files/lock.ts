import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { EnvironmentError, UsageError } from '../errors.ts';
import { removeQuietly } from './atomic.ts';
import { isAlive as isPidAlive, temporaryName } from './temporary-name.ts';

const pollMilliseconds = 200;
const ownerFile = 'owner.json';
const ownerSchema = z.object({ pid: z.number(), host: z.string(), since: z.string() });
type Owner = z.infer<typeof ownerSchema>;

/**
 * Run `work` while no other process holds the lock folder `path`. The folder appears together with its owner's name
 * (a rename), so a killed owner is always recognised and its lock taken over. `onWait` is called once if there is a wait.
 */
export async function withLock<T>(
  path: string,
  onWait: (owner: Owner) => void,
  work: () => Promise<T>,
): Promise<T> {
  await acquire(path, onWait);
  try {
    return await work();
  } finally {
    removeQuietly(path);
  }
}

/**
 * Take the lock folder `path` for the life of this process; release it with the function returned.
 * Throws `UsageError` that names the owner when another process holds it.
 */
export function holdLock(path: string, what: string): () => void {
  for (let attempt = 0; attempt < 2 && !tryAcquire(path); attempt++) {
    const owner = readOwner(path);
    if (owner !== null && isAlive(owner)) {
      throw new UsageError(
        `${what} is in use by process ${owner.pid} on ${owner.host}, since ${owner.since}`,
        { fix: 'wait for it to end, or stop it' },
      );
    }
    if (owner !== null) removeStale(path, owner);
    if (attempt === 1) throw new EnvironmentError(`cannot take the lock ${path}`);
  }
  return () => removeQuietly(path);
}

async function acquire(path: string, onWait: (owner: Owner) => void): Promise<void> {
  let hasWaited = false;
  while (!tryAcquire(path)) {
    const owner = readOwner(path);
    if (owner !== null && !isAlive(owner)) removeStale(path, owner);
    else if (owner !== null && !hasWaited) {
      onWait(owner);
      hasWaited = true;
    }
    await pause(pollMilliseconds);
  }
}

function tryAcquire(path: string): boolean {
  const prepared = temporaryName(path);
  const owner: Owner = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  try {
    mkdirSync(dirname(path), { recursive: true });
    mkdirSync(prepared);
    writeFileSync(join(prepared, ownerFile), JSON.stringify(owner));
  } catch (error) {
    removeQuietly(prepared);
    throw error;
  }
  try {
    renameSync(prepared, path); // fails where the folder exists, since it is never empty
    return true;
  } catch {
    removeQuietly(prepared);
    return false;
  }
}

function readOwner(path: string): Owner | null {
  try {
    return ownerSchema.parse(JSON.parse(readFileSync(join(path, ownerFile), 'utf8')));
  } catch {
    return null; // released in this moment
  }
}

/** A process of another machine (a shared disk) cannot be seen from here: it counts as alive. */
function isAlive(owner: Owner): boolean {
  return owner.host !== hostname() || isPidAlive(owner.pid);
}

/** Move it away first: of two processes that see the same dead owner, only one succeeds. */
function removeStale(path: string, dead: Owner): void {
  const aside = temporaryName(path);
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  const moved = readOwner(aside);
  const isTheDeadOne = moved?.pid === dead.pid && moved.since === dead.since;
  if (!isTheDeadOne)
    renameSync(aside, path); // somebody took it over between our look and our move
  else removeQuietly(aside);
}
