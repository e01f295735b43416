/** Which process this is, beyond its number: numbers are used again, and mean nothing in another container or on another host. */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';

export const processIdentity = z.object({
  pid: z.number(),
  host: z.string(),
  /** Boot and process namespace in which `pid` counts; null where the system does not tell (macOS). */
  place: z.string().nullable().default(null),
  /** When it started, in ticks since that boot. */
  startedAt: z.string().nullable().default(null),
});
export type ProcessIdentity = z.infer<typeof processIdentity>;

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, host: hostname(), place: ownPlace(), startedAt: startOf(process.pid) };
}

/** Whether that process still runs; null where it cannot be seen from here. */
export function isRunning({ pid, host, place, startedAt }: ProcessIdentity): boolean | null {
  const here = ownPlace();
  if (here !== null) return place === here && startedAt !== null ? startOf(pid) === startedAt : null;
  return host === hostname() && !hasProcess(pid) ? false : null;
}

function ownPlace(): string | null {
  const boot = readOrNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = readOrNull(() => readlinkSync('/proc/self/ns/pid'));
  return boot === null || namespace === null ? null : `${boot} ${namespace}`;
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold spaces and parentheses. Null: no such process. */
function startOf(pid: number): string | null {
  const stat = readOrNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readOrNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
