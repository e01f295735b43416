/** A text file that a person named: read whole, or refused in words. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { UsageError } from '../errors.ts';
import { reasonOf } from './system-error.ts';

/** Nobody writes more by hand; a device that never ends, or a data file named by mistake, is larger. */
const mostBytes = 16 * 2 ** 20;

/** The text of `path`, UTF-8; `what` names it in messages, such as "the configuration". Pipes are read too. Throws `UsageError`. */
export function readUserText(path: string, what: string): string {
  let bytes: Buffer;
  try {
    bytes = readUpTo(path, mostBytes + 1);
  } catch (cause) {
    throw new UsageError(`cannot read ${what} ${path}: ${reasonOf(cause as Error)}`, {
      fix: 'check the path',
      cause,
    });
  }
  if (bytes.length > mostBytes) {
    throw new UsageError(`${what} ${path} has more than ${mostBytes / 2 ** 20} MiB: it is something else`, {
      fix: 'check the path',
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UsageError(`${what} ${path} is not UTF-8 (${placeOfFault(bytes)})`, {
      fix: 'save it as UTF-8',
      cause,
    });
  }
}

/** Whether a model or a data set is named as a path where nothing is; what could be a hub id is not. */
export function isMissing(name: string): boolean {
  const isPath = /^[./]/.test(name) || name.split('/').length > 2;
  return isPath && !name.startsWith('~') && !existsSync(name);
}

function readUpTo(path: string, most: number): Buffer {
  const handle = openSync(path, 'r');
  try {
    const parts: Buffer[] = [];
    for (let length = 0; length < most; ) {
      const part = Buffer.alloc(64 * 1024);
      const read = readSync(handle, part, 0, part.length, null);
      if (read === 0) break;
      parts.push(part.subarray(0, read));
      length += read;
    }
    return Buffer.concat(parts);
  } finally {
    closeSync(handle);
  }
}

/** The line of the first byte that decodes to nothing. */
function placeOfFault(bytes: Buffer): string {
  const text = bytes.toString('utf8'); // a fault becomes U+FFFD, which a file could also hold as such
  const at = text.indexOf('\uFFFD');
  return `line ${text.slice(0, at).split('\n').length}`;
}
