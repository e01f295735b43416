/** Files that are there whole or not at all, whatever happens to the process or the machine. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  cpSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Write to a temporary name, fsync, rename, fsync the directory. Missing directories are made. */
export function writeFileAtomic(path: string, data: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}.part`;
  try {
    writeDurably(part, 'w', data);
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Add to the end of a file and fsync; what a crash leaves is a prefix. */
export function appendDurably(path: string, data: string): void {
  writeDurably(path, 'a', data);
}

/** A copy of a directory that appears under its name when it is whole. */
export function copyDirectoryAtomic(from: string, to: string): void {
  const part = `${to}.${process.pid}.part`;
  mkdirSync(dirname(to), { recursive: true });
  rmSync(part, { recursive: true, force: true });
  cpSync(from, part, { recursive: true });
  renameSync(part, to);
  syncDirectory(dirname(to));
}

export function sha256OfFile(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** So that a rename in it survives a power cut. */
export function syncDirectory(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function writeDurably(path: string, flag: 'w' | 'a', data: string | Buffer): void {
  const handle = openSync(path, flag);
  try {
    const bytes = Buffer.from(data as string);
    for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
