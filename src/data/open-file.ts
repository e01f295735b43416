/** Any data file as plain JSON lines that can be read from any place. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { type Format, formatNames, formatOf } from '../files/data-format.ts';
import { isSystemError, nameFile, reasonOf } from '../files/system-error.ts';
import { temporaryName } from '../files/temporary-name.ts';
import { csvLines } from './csv.ts';
import { DataError } from './data-error.ts';
import { parseJson, toJson } from './json.ts';
import { countLines } from './json-lines.ts';
import { parquetLines } from './parquet.ts';

/** Raise it when an unpacked copy would hold other text than before. */
const unpackVersion = 2;

/** `file` is the data file itself, or its unpacked copy in the cache. */
export type SeekableFile = { readonly source: string; readonly file: string; readonly lines: number };

/** Unpack a compressed or Parquet file into `cacheDirectory`, once; plain JSON lines stay where they are. Throws `DataError`. */
export async function seekableFile(path: string, cacheDirectory: string): Promise<SeekableFile> {
  const format = formatOf(path);
  if (format === null) {
    throw new DataError(`${path}: unknown kind of data file`, {
      fix: `use ${formatNames}`,
    });
  }
  const found = await stat(path).catch((cause: Error) => {
    throw new DataError(`cannot read the data file ${path}: ${reasonOf(cause)}`, {
      fix: 'check the path; it is taken from the current directory',
      cause,
    });
  });
  if (!found.isFile()) throw new DataError(`${path} is not a file`);
  if (format === 'jsonl') return { source: path, file: path, lines: await countLines(path) };
  const version = createHash('sha256')
    .update(`${unpackVersion}\n${resolve(path)}\n${found.size}\n${found.mtimeMs}`)
    .digest('hex')
    .slice(0, 16);
  const file = join(cacheDirectory, `${basename(path)}-${version}.jsonl`);
  const isThere = await stat(file).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    await mkdir(cacheDirectory, { recursive: true });
    await writeAtomically(file, jsonLinesOf(path, format)).catch((cause: Error) => {
      if (cause instanceof DataError) throw cause;
      if (isSystemError(cause)) throw nameFile(cause, file); // the disk's fault, not the file's
      throw new DataError(`cannot unpack ${path}: ${cause.message}`, {
        cause,
        fix: 'the file may be cut off or broken',
      });
    });
  }
  return { source: path, file, lines: await countLines(file) };
}

/** Write under a temporary name, sync, rename: the file is there as a whole or not at all. */
async function writeAtomically(path: string, pieces: AsyncIterable<Uint8Array | string>): Promise<void> {
  const temporary = temporaryName(path);
  const handle = await open(temporary, 'w');
  try {
    for await (const piece of gathered(pieces)) await handle.writeFile(piece);
    await handle.sync();
    await handle.close();
    await rename(temporary, path);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw error;
  }
}

const writeBytes = 1 << 20;

/** Small pieces joined to about a megabyte: one write for thousands of lines. */
async function* gathered(pieces: AsyncIterable<Uint8Array | string>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    const buffer = Buffer.from(piece as string);
    waiting.push(buffer);
    bytes += buffer.length;
    if (bytes < writeBytes) continue;
    yield Buffer.concat(waiting);
    [waiting, bytes] = [[], 0];
  }
  yield Buffer.concat(waiting);
}

// Formats that one cannot jump about in, as streams of JSON lines.

/** The JSON lines of a compressed file, in pieces of any size. */
function jsonLinesOf(path: string, format: Exclude<Format, 'jsonl'>): AsyncIterable<Uint8Array | string> {
  if (format === 'parquet') return parquetLines(path);
  if (format === 'csv') return csvLines(path);
  if (format === 'json') return recordLines(path);
  return format === 'jsonl.gz' ? gunzip(path) : unzstd(path);
}

/** A list of records; numbers keep their digits. */
async function* recordLines(path: string): AsyncGenerator<string> {
  const value = parseJson(await readFile(path, 'utf8'));
  if (!Array.isArray(value)) throw new Error('it holds no list of records; one record a line is .jsonl');
  for (const record of value) yield `${toJson(record)}\n`;
}

/** A failure to read ends the stream with it. */
function gunzip(path: string): AsyncIterable<Uint8Array> {
  return pipeline(createReadStream(path), createGunzip(), () => undefined);
}

async function* unzstd(path: string): AsyncGenerator<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let isComplete = false;
  const stream = new Decompress((piece, isLast) => {
    if (piece.length > 0) pieces.push(piece);
    isComplete = isLast === true;
  });
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    stream.push(chunk);
    yield* pieces.splice(0);
  }
  stream.push(new Uint8Array(0), true);
  yield* pieces;
  if (!isComplete) throw new Error('unexpected end of file');
}
