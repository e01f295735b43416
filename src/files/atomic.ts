/** Files that are there whole or not at all, whatever happens to the process or the machine. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { nameFile } from './system-error.ts';
import { temporaryName } from './temporary-name.ts';

/** A folder that only its user can enter, unless it is there already. */
export function makePrivate(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Write to a temporary name, fsync, rename, fsync the directory. Missing directories are made. */
export function writeFileAtomic(path: string, data: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  const part = temporaryName(path);
  try {
    writeDurably(part, 'w', data);
    renameSync(part, path);
  } catch (error) {
    removeQuietly(part);
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Add to the end of a file and fsync; what a crash leaves is a prefix. */
export function appendDurably(path: string, data: string): void {
  writeDurably(path, 'a', data);
}

/** Into the place of the file that is there: no crash-safe way to write, and the last where the disk is full. */
export function overwrite(path: string, data: string): void {
  writeDurably(path, 'r+', data);
  truncateSync(path, Buffer.byteLength(data));
}

/** A second name for the files of a directory, copies where it lies on another disk; it appears when it is whole. */
export function linkDirectoryAtomic(from: string, to: string): void {
  const part = temporaryName(to);
  mkdirSync(dirname(to), { recursive: true });
  try {
    linkFiles(from, part);
    renameSync(part, to);
  } catch (error) {
    removeQuietly(part);
    throw error;
  }
  syncDirectory(dirname(to));
}

function linkFiles(from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkFiles(source, target);
    else linkFile(source, target);
  }
}

function linkFile(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to); // another disk, or one without links: what is wrong otherwise is said by this
  }
}

/** Remove what is ours while something else has failed already, and is worth more than a leftover: never throws. */
export function removeQuietly(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // The disk may have become read-only.
  }
}

/** Bytes of a file up to the end of its last whole line; 0 where there is none. */
export function wholeLineBytes(path: string): number {
  return existsSync(path) ? readFileSync(path).lastIndexOf('\n') + 1 : 0;
}

/** Read piece by piece: weights are larger than memory. */
export function sha256OfFile(path: string): string {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(bytesAtOnce);
  const handle = openSync(path, 'r');
  try {
    for (let read = readSync(handle, buffer); read > 0; read = readSync(handle, buffer))
      hash.update(buffer.subarray(0, read));
  } finally {
    closeSync(handle);
  }
  return hash.digest('hex');
}

const bytesAtOnce = 1 << 20;

/** So that a rename in it survives a power cut. */
function syncDirectory(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function writeDurably(path: string, flag: 'w' | 'a' | 'r+', data: string | Buffer): void {
  const handle = openSync(path, flag);
  try {
    const bytes = Buffer.from(data as string);
    for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done);
    fsyncSync(handle);
  } catch (error) {
    throw nameFile(error, path);
  } finally {
    closeSync(handle);
  }
}
