/** What the system refuses, in words: the one place where an errno becomes an error for a person. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { EnvironmentError } from '../errors.ts';
import { finalName } from './temporary-name.ts';

const room = 'free some space (`tms store prune` removes what runs share), or write to another disk';
const rights =
  'make it accessible to you, or choose another place (output_dir; TMS_HOME for what runs share)';
const path = 'check the path';

/** What happened, and what to do. */
const words: Readonly<Record<string, readonly [what: string, fix: string]>> = {
  ENOSPC: ['the disk is full', room],
  EDQUOT: ['your quota on that disk is used up', room],
  EFBIG: ['the file may not grow further', `raise the limit (ulimit -f shows it), or write to another disk`],
  EROFS: ['that file system is read-only', rights],
  EACCES: ['permission denied', rights],
  EPERM: ['the system does not permit it', rights],
  EMFILE: ['too many files are open in this process', 'raise the limit: ulimit -n 4096'],
  ENFILE: ['too many files are open on this machine', 'close other programs, then go on'],
  EIO: [
    'the disk failed (input/output error)',
    'look for the fault (dmesg), then go on, or write to another disk',
  ],
  ESTALE: ['the network file system lost it', 'mount it again, then go on'],
  EBUSY: ['something else uses it', 'wait for that to end, then go on'],
  ENAMETOOLONG: ['the name is too long', path],
  ENOTDIR: ['a part of the path is a file, not a folder', path],
  EISDIR: ['it is a folder, not a file', path],
  ELOOP: ['its links lead in a circle', path],
  ENOENT: ['there is no such file or folder', path],
  EEXIST: ['it is there already', path],
  ENOTEMPTY: ['the folder is not empty', path],
  EXDEV: ['it lies on another disk', path],
  ENOMEM: ['the system has no memory left', 'close other programs, then go on'],
  EAGAIN: ['the system has no room for another process', 'raise the limit (ulimit -u shows it), then go on'],
};

/** An `EnvironmentError` with path, free bytes and a fix for an error of a system call; anything else as it is. */
export function translateSystemError(error: unknown): unknown {
  if (!isSystemError(error)) return error;
  const code = codeOf(error);
  const fix = words[code]?.[1] ?? null;
  const place = error.path === undefined ? '' : ` ${finalName(error.path)}`;
  const free = hasToDoWithRoom(code) ? freeBytes(error.path) : null;
  const left = free === null ? '' : `; ${free} bytes are free there`;
  return new EnvironmentError(`cannot ${verbOf(error.syscall)}${place}: ${reasonOf(error)}${left}`, {
    fix,
    cause: error,
  });
}

/** Why the system refused, in words, for a message that names the file itself; the message of any other error. */
export function reasonOf(error: Error): string {
  if (!isSystemError(error)) return error.message;
  const code = codeOf(error);
  return `${words[code]?.[0] ?? error.message} (${code})`;
}

/** Node names no file where a call works on an open one: add it. */
export function nameFile<E>(error: E, file: string): E {
  if (isSystemError(error)) error.path ??= file;
  return error;
}

type SystemError = Error & { code: string; syscall: string; path?: string };

/** Whether the system refused something, rather than we made a mistake. */
export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error)) return false;
  return 'errno' in error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

/** Making a folder on a read-only disk is reported as if its parent were not there. */
function codeOf({ code, syscall, path: file }: SystemError): string {
  if (code !== 'ENOENT' || syscall !== 'mkdir' || file === undefined) return code;
  try {
    let parent = dirname(file);
    while (!existsSync(parent)) parent = dirname(parent);
    accessSync(parent, constants.W_OK);
    return code;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? code;
  }
}

function verbOf(syscall: string): string {
  if (/^(read|scandir|opendir|l?stat|fstat|readlink|realpath)/.test(syscall)) return 'read';
  if (/^open/.test(syscall)) return 'open';
  if (syscall === 'access') return 'use';
  if (/^spawn/.test(syscall)) return 'start';
  if (/^(unlink|rmdir|rm)/.test(syscall)) return 'remove';
  return 'write';
}

function hasToDoWithRoom(code: string): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code);
}

function freeBytes(file: string | undefined): number | null {
  for (let place = file; place !== undefined && place !== dirname(place); place = dirname(place)) {
    try {
      const { bavail, bsize } = statfsSync(place);
      return bavail * bsize;
    } catch {
      // Not there yet: its parent.
    }
  }
  return null;
}
