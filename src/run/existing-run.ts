/** What lies where a run is to be: nothing, a run that may be gone on with, or something else. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { refuseHeld } from '../files/lock.ts';
import { readRecord } from '../files/read-record.ts';
import { isTemporaryName } from '../files/temporary-name.ts';
import { type RunRecord, runRecord } from './records.ts';

/** What makes two runs the same: a resume must find all of it as it was. */
export type RunIdentity = Pick<
  RunRecord,
  'configDigest' | 'baseDigest' | 'dataDigest' | 'methodDigest' | 'evaluationDigests'
>;

/** Refuse a run directory that another process writes to, before anything is loaded; waits where that takes time to find out. */
export function refuseInUse(path: string, say: (line: string) => void): Promise<void> {
  return refuseHeld(lockOf(path), `the run directory ${path}`, say);
}

/** The file whose holder writes to the run. */
export function lockOf(path: string): string {
  return join(resolve(path), 'lock');
}

/** What is at `path`: decides whether a run may begin, must be resumed, or is refused. */
export function inspectRun(path: string): 'free' | 'run' | 'other' {
  if (!existsSync(path)) return 'free';
  if (!statSync(path).isDirectory()) return 'other';
  if (existsSync(join(path, 'run.json'))) return 'run';
  return readdirSync(path).every(name => isTemporaryName(name) || ownLock.test(name)) ? 'free' : 'other';
}

/** Also the name under which 0.1.0 prepared it, which a killed process left. */
const ownLock = /^lock(-\d+-[0-9a-f]{8})?$/;

/** run.json, whole. Throws `UsageError` where it is not. */
export function readRunRecord(path: string): RunRecord {
  const file = join(path, 'run.json');
  const { value, damage } = readRecord(file, runRecord);
  if (value !== null) return value;
  if (damage === null)
    throw new UsageError(`${path} holds no run: there is no run.json`, {
      fix: 'name the output_dir of a run',
    });
  throw new UsageError(`${file} is damaged, or not of this version of tms: ${damage}`, {
    fix: 'restore the file from a copy, or start a new run: --set output_dir=NEW (trainings and answers that fit are taken from the store)',
  });
}

/** What a killed process had begun to write goes; a link is never ours. */
export function removeUnfinished(path: string): void {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  for (const entry of entries)
    if (isTemporaryName(entry.name) && (entry.isFile() || entry.isDirectory()))
      rmSync(join(entry.parentPath, entry.name), { recursive: true, force: true });
}

/** What of a run is no longer as it was when it began, in words. */
export function changedInputs(record: RunRecord, identity: RunIdentity): string[] {
  const names = {
    configDigest: 'the configuration',
    baseDigest: 'the base model',
    dataDigest: 'the data',
    methodDigest: `the method ${record.method}, or a file that it imports,`,
  } as const;
  const [before, now] = [record.evaluationDigests, identity.evaluationDigests];
  const measured = Object.keys({ ...before, ...now }).filter(name => before[name] !== now[name]);
  const inputs = (Object.keys(names) as (keyof typeof names)[]).filter(key => record[key] !== identity[key]);
  return [...inputs.map(key => names[key]), ...measured];
}

/** Throws `UsageError` that names what of a run is no longer as it was when it began. */
export function refuseChanges(path: string, record: RunRecord, identity: RunIdentity): void {
  const changed = changedInputs(record, identity);
  if (changed.length === 0) return;
  throw new UsageError(`${path} cannot be resumed: ${changed.join(' and ')} changed since it began`, {
    fix: 'undo the change, or start a new run: --set output_dir=NEW (trainings and answers that still fit are taken from the store)',
  });
}
