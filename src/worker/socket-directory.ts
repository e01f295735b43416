/** Where a worker's socket lies: a folder of its own that only we can enter, in a folder that is this user's alone. */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Longest path of a unix socket on macOS, in bytes; Linux takes 107. */
const maxSocketPath = 103;
const socketName = 'w';
const ownName = /^w-\w{6}$/;
/** A worker binds and is connected to long before this; after that its socket could even be removed without harm. */
const youngMilliseconds = 600_000;

/**
 * A new folder with the path of the socket to be, after what killed processes left beside it is swept away. In `$XDG_RUNTIME_DIR/tms`,
 * else in `tms-<uid>` of the temporary folder; where neither is ours alone, in a folder that nobody will sweep.
 */
export async function socketDirectory(env: NodeJS.ProcessEnv): Promise<string> {
  for (const base of basesFor(env)) {
    if (!isOursAlone(base)) continue;
    await sweep(base);
    try {
      return mkdtempSync(join(base, 'w-'));
    } catch {
      // Full, or read-only: the next one.
    }
  }
  return mkdtempSync(join(fits(tmpdir()) ? tmpdir() : '/tmp', 'tms-'));
}

/** The socket's path in its folder. */
export function socketPath(directory: string): string {
  return join(directory, socketName);
}

/** Remove a folder of ours with its socket; whatever else is in it stays, and so does the folder. */
export function removeSocketDirectory(directory: string): void {
  for (const remove of [() => unlinkSync(socketPath(directory)), () => rmdirSync(directory)]) {
    try {
      remove();
    } catch {
      // Gone already, or not ours to remove: a leftover does no harm.
    }
  }
}

function basesFor(env: NodeJS.ProcessEnv): string[] {
  const runtime = env.XDG_RUNTIME_DIR;
  const temporary = `tms-${process.getuid?.() ?? 'user'}`;
  return [
    ...(runtime && isAbsolute(runtime) ? [join(runtime, 'tms')] : []),
    join(tmpdir(), temporary),
    join('/tmp', temporary),
  ].filter(fits);
}

function fits(parent: string): boolean {
  return Buffer.byteLength(join(parent, 'tms-XXXXXX', socketName)) <= maxSocketPath;
}

/** Made where it is absent. A link, another user's folder, or one that others can enter is none of ours. */
function isOursAlone(base: string): boolean {
  try {
    mkdirSync(base, { mode: 0o700 });
  } catch {
    // There already, or not to be made: the look at it decides.
  }
  try {
    const found = lstatSync(base);
    return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

async function sweep(base: string): Promise<void> {
  try {
    const names = readdirSync(base).filter(name => ownName.test(name));
    await Promise.allSettled(names.map(name => sweepOne(join(base, name))));
  } catch {
    // Tidying up never stands in the way of a start.
  }
}

/** Only a real folder of ours that holds nothing but a socket on which nobody listens, wherever its process lived. */
async function sweepOne(directory: string): Promise<void> {
  const found = lstatSync(directory);
  const isOurs = found.isDirectory() && found.uid === process.getuid?.();
  if (!isOurs || Date.now() - found.mtimeMs < youngMilliseconds) return;
  const content = readdirSync(directory);
  if (content.length === 0) return removeSocketDirectory(directory);
  if (content.length > 1 || content[0] !== socketName) return;
  const socket = socketPath(directory);
  if (lstatSync(socket).isSocket() && !(await isListening(socket))) removeSocketDirectory(directory);
}

/** Seen from another container too, where its pid says nothing. */
function isListening(socket: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = connect(socket);
    const answer = (isLive: boolean) => {
      probe.destroy();
      resolve(isLive);
    };
    probe.once('connect', () => answer(true));
    probe.once('error', (error: NodeJS.ErrnoException) => answer(error.code !== 'ECONNREFUSED'));
  });
}
