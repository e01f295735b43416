/**
 * Locks that outlive no owner. A lock is a folder with its owner's identity in a file that is written anew while the owner lives: a
 * process of this boot and container is asked for by its start time, any other one shows its life by the age of that file.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { EnvironmentError, UsageError } from '../errors.ts';
import { removeQuietly, writeFileAtomic } from './atomic.ts';
import { isRunning, ownIdentity, processIdentity } from './process-identity.ts';
import { nameFile } from './system-error.ts';
import { temporaryName } from './temporary-name.ts';

const pollMilliseconds = 200;
const beatMilliseconds = 5000;
/** An owner that cannot be asked for counts as gone so long after its last sign of life. */
const patienceSeconds = 30;

const ownerSchema = processIdentity.extend({ since: z.string(), token: z.string().default('') });
type Owner = z.infer<typeof ownerSchema>;

/** `owner` is null where it cannot be read; `ageSeconds`: since its last sign of life. */
type Found = { readonly owner: Owner | null; readonly ageSeconds: number };

/** Tokens of the locks that this process holds: one with our identity that is not among them was left by a process that is gone. */
const held = new Set<string>();

/** Run `work` while no other process holds the lock folder `path`. `onWait` is called once if there is a wait. */
export async function withLock<T>(
  path: string,
  onWait: (holder: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  let release = tryHold(path);
  for (let hasWaited = false; release === null; release = tryHold(path)) {
    const found = look(path);
    if (!hasWaited && found !== null && isAlive(found)) {
      onWait(holderOf(found));
      hasWaited = true;
    }
    await pause(pollMilliseconds);
  }
  try {
    return await work();
  } finally {
    release();
  }
}

/**
 * Wait while nobody can say whether the owner of `path` lives (another host or container), until it shows a sign of life or has shown none
 * for long enough. Throws `UsageError` where it lives.
 */
export async function refuseHeld(path: string, what: string, say: (line: string) => void): Promise<void> {
  let last = Infinity;
  for (let found = look(path); found !== null && isAlive(found); found = look(path)) {
    const isSeen = found.owner !== null && isRunning(found.owner) !== null;
    if (isSeen || found.ageSeconds < last - 1) {
      if (isSeen || last < Infinity) throw inUse(path, what, found);
      say(`waiting whether ${holderOf(found)} still works in ${what}`);
    }
    last = found.ageSeconds;
    await pause(1000);
  }
}

/**
 * Take the lock folder `path` for the life of this process; release it with the function returned.
 * Throws `UsageError` that names the owner when another process holds it.
 */
export function holdLock(path: string, what: string): () => void {
  const release = tryHold(path) ?? tryHold(path);
  if (release !== null) return release;
  const found = look(path);
  if (found === null) throw new EnvironmentError(`cannot take the lock ${path}`, { fix: 'try again' });
  throw inUse(path, what, found);
}

function inUse(path: string, what: string, found: Found): UsageError {
  return new UsageError(`${what} is in use by ${holderOf(found)}`, {
    fix: `wait for it to end, or stop it; if it is surely gone, remove ${path}`,
  });
}

/** Null where somebody else lives who holds it. */
function tryHold(path: string): (() => void) | null {
  const found = look(path);
  if (found !== null && isAlive(found)) return null;
  if (found !== null) removeStale(path, found.owner);
  const token = randomBytes(8).toString('hex');
  const owner: Owner = { ...ownIdentity(), since: new Date().toISOString(), token };
  return take(path, owner) ? keepAlive(path, owner) : null;
}

/** The folder appears whole, by a rename; that fails where one is there, since it is never empty. */
function take(path: string, owner: Owner): boolean {
  const prepared = temporaryName(path);
  try {
    mkdirSync(dirname(path), { recursive: true });
    mkdirSync(prepared);
    writeFileSync(join(prepared, 'owner.json'), JSON.stringify(owner), { flush: true });
  } catch (error) {
    removeQuietly(prepared);
    throw nameFile(error, path);
  }
  try {
    renameSync(prepared, path);
    return true;
  } catch {
    removeQuietly(prepared);
    return false;
  }
}

/** A lock that another process took over (ours slept too long) ends this one: two must not write. */
function keepAlive(path: string, owner: Owner): () => void {
  const isOurs = () => look(path)?.owner?.token === owner.token;
  held.add(owner.token);
  const beat = setInterval(() => {
    const found = look(path);
    if (found?.owner?.token === owner.token) return showLife(path, owner);
    if (found !== null && found.owner === null) return; // not to be read in this moment
    clearInterval(beat);
    if (found !== null)
      throw new EnvironmentError(`the lock ${path} was taken over by ${holderOf(found)}`, {
        fix: 'stop one of the two; `tms resume` goes on from what is on disk',
      });
  }, beatMilliseconds).unref();
  return () => {
    clearInterval(beat);
    if (isOurs()) removeQuietly(path);
    held.delete(owner.token);
  };
}

/** A full disk ends a run where its results are written, not here. */
function showLife(path: string, owner: Owner): void {
  try {
    writeFileAtomic(join(path, 'owner.json'), JSON.stringify(owner));
  } catch {
    // The next beat may find room.
  }
}

function isAlive({ owner, ageSeconds }: Found): boolean {
  const isSeen = owner === null ? null : isRunning(owner);
  if (isSeen && owner?.pid === process.pid) return held.has(owner.token);
  return isSeen ?? ageSeconds < patienceSeconds;
}

function holderOf({ owner, ageSeconds }: Found): string {
  const sign = `last sign of life ${Math.max(0, Math.round(ageSeconds))} s ago`;
  if (owner === null) return `an unknown process (${sign})`;
  const seen = isRunning(owner) === null ? ` (${sign})` : '';
  return `process ${owner.pid} on ${owner.host}, since ${owner.since}${seen}`;
}

/** What stands at `path`; null where nothing does. */
function look(path: string): Found | null {
  try {
    const file = statSync(join(path, 'owner.json'), { throwIfNoEntry: false }) ?? statSync(path);
    return { owner: readOwner(path), ageSeconds: (clockOf(dirname(path)) - file.mtimeMs) / 1000 };
  } catch {
    return null; // released in this moment
  }
}

function readOwner(path: string): Owner | null {
  try {
    return ownerSchema.parse(JSON.parse(readFileSync(join(path, 'owner.json'), 'utf8')));
  } catch {
    return null; // cut off by a power cut, or not of this version
  }
}

/** The time by the clock that stamps files there, which on a shared disk is another machine's. */
function clockOf(folder: string): number {
  const file = temporaryName(join(folder, 'clock'));
  try {
    writeFileSync(file, '');
    return statSync(file).mtimeMs;
  } catch {
    return Date.now();
  } finally {
    removeQuietly(file);
  }
}

/** Move it away first: of two processes that see the same dead owner, only one succeeds. */
function removeStale(path: string, dead: Owner | null): void {
  const aside = temporaryName(path);
  try {
    renameSync(path, aside);
    const isTheDeadOne = readOwner(aside)?.token === dead?.token;
    if (!isTheDeadOne) renameSync(aside, path); // somebody took it over between our look and our move
  } catch {
    // Somebody else moved it, or has taken it since.
  }
  removeQuietly(aside);
}
