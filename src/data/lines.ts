/** Lines of a file with their places, read as a stream. */
import { open } from 'node:fs/promises';

/** One line without its newline: number from 1, place and length in bytes. */
export type Line = { readonly number: number; readonly offset: number; readonly bytes: Buffer };

const newline = 0x0a;
const chunkBytes = 1 << 16;

/**
 * Every line of a file, many at a time, since a promise a line would take longer than reading it. The bytes are only valid until the
 * next lines are asked for.
 */
export async function* readLines(file: string): AsyncGenerator<Line[]> {
  let number = 0;
  let offset = 0;
  let carried: Buffer[] = [];
  const lineOf = (bytes: Buffer): Line => {
    const line = { number: ++number, offset, bytes };
    offset += bytes.length + 1;
    return line;
  };
  for await (const chunk of readChunks(file)) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      lines.push(lineOf(joined(carried, chunk.subarray(start, end))));
      carried = [];
      start = end + 1;
    }
    if (lines.length > 0) yield lines;
    if (start < chunk.length) carried.push(Buffer.from(chunk.subarray(start)));
  }
  if (carried.length > 0) yield [lineOf(Buffer.concat(carried))];
}

/** Lines of a file; the last one counts even without a newline. Much faster than reading them. */
export async function countLines(file: string): Promise<number> {
  let lines = 0;
  let last = newline;
  for await (const chunk of readChunks(file)) {
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1)) lines++;
    last = chunk[chunk.length - 1] ?? last;
  }
  return last === newline ? lines : lines + 1;
}

/** A file piece by piece, all in the same memory: a stream would leave one buffer a piece to the garbage collector. */
async function* readChunks(file: string): AsyncGenerator<Buffer> {
  const handle = await open(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, chunkBytes, at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

function joined(carried: readonly Buffer[], rest: Buffer): Buffer {
  return carried.length === 0 ? rest : Buffer.concat([...carried, rest]);
}
