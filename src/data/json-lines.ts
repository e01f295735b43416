/** Lines of a file with their places, read as a stream. */
import { open } from 'node:fs/promises';
import type { LineProblem } from './data-error.ts';
import { JsonError, parseJson } from './json.ts';
import type { SeekableFile } from './open-file.ts';
import type { DataRecord } from './template.ts';

/** One line without its newline: number from 1, place and length in bytes; of one with more than `mostLineBytes` no bytes. */
export type Line = {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  readonly bytes: Buffer;
};

/** Half of what a string can hold, and more than any text: a file without line breaks must not fill the memory. */
const mostLineBytes = 256 * 2 ** 20;

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
  let carriedBytes = 0;
  const lineOf = (rest: Buffer): Line => {
    const length = carriedBytes + rest.length;
    const line = {
      number: ++number,
      offset,
      length,
      bytes: length > mostLineBytes ? none : joined(carried, rest),
    };
    offset += length + 1;
    [carried, carriedBytes] = [[], 0];
    return line;
  };
  for await (const chunk of readChunks(file)) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      lines.push(lineOf(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (lines.length > 0) yield lines;
    if (start === chunk.length) continue;
    carriedBytes += chunk.length - start;
    if (carriedBytes > mostLineBytes) carried = [];
    else carried.push(Buffer.from(chunk.subarray(start)));
  }
  if (carriedBytes > 0) yield [lineOf(none)];
}

const none = Buffer.alloc(0);

/** The lines as texts. Node's readline also ends one at U+2028, which JSON leaves as it is. */
export async function* readTextLines(file: string): AsyncGenerator<string> {
  for await (const lines of readLines(file)) yield* lines.map(({ bytes }) => bytes.toString());
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

// Lines of a data file as records, the broken ones reported.

/** A record with its place, or what is wrong with its line. Blank lines are left out. */
export type PlacedRecord = { readonly line: Line } & (
  | { readonly record: DataRecord }
  | { readonly problem: LineProblem }
);

/** Every record of a file, in order. */
export async function* readRecords({ file }: SeekableFile): AsyncGenerator<PlacedRecord> {
  for await (const lines of readLines(file)) yield* lines.map(placeRecord).filter(placed => placed !== null);
}

/** The record of a line, or what is wrong with it; null for a blank line. */
export function placeRecord(line: Line): PlacedRecord | null {
  const parsed = line.length > mostLineBytes ? tooLarge(line) : parseRecord(line.bytes);
  if (parsed === null) return null;
  return typeof parsed === 'string'
    ? { line, problem: { line: line.number, message: parsed } }
    : { line, record: parsed };
}

function tooLarge({ length }: Line): string {
  const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  return `has ${mebibytes(length)}, more than the ${mebibytes(mostLineBytes)} that a line may have`;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The record of one line, null for a blank line, or what is wrong with it. */
export function parseRecord(bytes: Uint8Array): DataRecord | string | null {
  const text = decode(bytes);
  if (text === null) return 'not UTF-8';
  if (text.trim() === '') return null;
  try {
    const value = parseJson(text);
    const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isRecord ? (value as DataRecord) : 'not a JSON object';
  } catch (error) {
    if (error instanceof JsonError) return error.message;
    throw error;
  }
}

function decode(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}
