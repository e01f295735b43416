/**
 * Encoded examples on disk, in `tokens.bin` (little-endian):
 * header (magic, version, rows n, bytes of the notes: u32; tokens N: f64) | of each row its length, the length of its prompt, the number
 * of its learned tokens, u32 [n] each | of each row its ids, i32, then whether each is learned, u8 | notes, JSON | SHA-256 of
 * all before.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { nameFile } from '../files/system-error.ts';
import { temporaryName } from '../files/temporary-name.ts';
import { DataError } from './data-error.ts';
import { noNotes, type TokenNotes } from './token-notes.ts';

/** Token ids of one example; the first `promptLength` stand before its answer. `learned`: 1 where the loss counts a token. */
export type TokenRow = {
  readonly ids: Int32Array;
  readonly promptLength: number;
  readonly learned: Uint8Array;
};

/** "tms1" */
const magic = 0x31736d74;
/** Of this layout; `encoderVersion` is that of what is in it. */
const version = 4;
/** Of a token: its id, and whether it is learned. */
const tokenBytes = 5;
const headerBytes = 24;
const digestBytes = 32;

type Writing = {
  readonly path: string;
  readonly part: string;
  readonly handle: FileHandle;
  readonly rows: number;
};

/** Writes rows as they come; the file appears under its name when all are there. */
export class TokenFileWriter {
  readonly #path: string;
  readonly #part: string;
  readonly #handle: FileHandle;
  readonly #lengths: Uint32Array;
  readonly #promptLengths: Uint32Array;
  readonly #learnedLengths: Uint32Array;
  #rows = 0;
  #tokens = 0;

  private constructor({ path, part, handle, rows }: Writing) {
    this.#path = path;
    this.#part = part;
    this.#handle = handle;
    this.#lengths = new Uint32Array(rows);
    this.#promptLengths = new Uint32Array(rows);
    this.#learnedLengths = new Uint32Array(rows);
  }

  /** `rows` is how many will be appended. */
  static async create(path: string, rows: number): Promise<TokenFileWriter> {
    const part = temporaryName(path);
    return new TokenFileWriter({ path, part, handle: await open(part, 'w'), rows });
  }

  /** Add rows behind those written so far. */
  async append(rows: readonly TokenRow[]): Promise<void> {
    const position = idsStart(this.#lengths.length) + tokenBytes * this.#tokens;
    for (const { ids, promptLength, learned } of rows) {
      this.#lengths[this.#rows] = ids.length;
      this.#learnedLengths[this.#rows] = learned.reduce((sum, mark) => sum + mark, 0);
      this.#promptLengths[this.#rows++] = promptLength;
      this.#tokens += ids.length;
    }
    await this.#write(Buffer.concat(rows.flatMap(({ ids, learned }) => [bytesOf(ids), learned])), position);
  }

  /** Finish the file, under another name where one is given. Throws when rows are missing: that would be our own mistake. */
  async finish(notes: TokenNotes = noNotes, path = this.#path): Promise<void> {
    if (this.#rows !== this.#lengths.length)
      throw new Error(`${this.#rows} of ${this.#lengths.length} rows were written`);
    const tail = Buffer.from(JSON.stringify(notes));
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(magic, 0);
    header.writeUInt32LE(version, 4);
    header.writeUInt32LE(this.#rows, 8);
    header.writeUInt32LE(tail.length, 12);
    header.writeDoubleLE(this.#tokens, 16);
    await this.#write(tail, idsStart(this.#rows) + tokenBytes * this.#tokens);
    const counts = [this.#lengths, this.#promptLengths, this.#learnedLengths].map(bytesOf);
    await this.#write(Buffer.concat([header, ...counts]), 0);
    const end = idsStart(this.#rows) + tokenBytes * this.#tokens + tail.length;
    await this.#write(await digestOfFirst(this.#part, end), end);
    await this.#handle.sync();
    await this.#handle.close();
    await rename(this.#part, path);
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const written = this.#handle.write(bytes, done, bytes.length - done, position + done);
      done += (await written.catch(error => Promise.reject(nameFile(error, this.#part)))).bytesWritten;
    }
  }

  /** Give the file up: nothing is left of it. */
  async abort(): Promise<void> {
    await this.#handle.close();
    await rm(this.#part, { force: true });
  }
}

/** Rows of a token file by number; about 12 bytes of memory a row. Owns an open file: close it. */
export class TokenFile {
  readonly lengths: Uint32Array;
  readonly promptLengths: Uint32Array;
  readonly learnedLengths: Uint32Array;
  readonly notes: TokenNotes;
  readonly #handle: FileHandle;
  readonly #starts: Float64Array;

  private constructor(handle: FileHandle, counts: readonly Uint32Array[], notes: TokenNotes) {
    const [lengths = none, promptLengths = none, learnedLengths = none] = counts;
    this.lengths = lengths;
    this.promptLengths = promptLengths;
    this.learnedLengths = learnedLengths;
    this.notes = notes;
    this.#handle = handle;
    this.#starts = blockStarts(this.lengths);
  }

  /** Throws `DataError` when the file is not whole. */
  static async open(path: string): Promise<TokenFile> {
    const handle = await open(path, 'r');
    try {
      const header = await readAt(handle, headerBytes, 0);
      const rows =
        header.length === headerBytes && header.readUInt32LE(0) === magic ? header.readUInt32LE(8) : -1;
      const { size } = await handle.stat();
      if (
        rows < 0 ||
        header.readUInt32LE(4) !== version ||
        size !==
          idsStart(rows) + tokenBytes * header.readDoubleLE(16) + header.readUInt32LE(12) + digestBytes ||
        !(await readAt(handle, digestBytes, size - digestBytes)).equals(
          await digestOfFirst(path, size - digestBytes),
        )
      ) {
        throw new DataError(`${path} is not a whole token file, or damaged`, {
          fix: 'delete it; it is made again from the data',
        });
      }
      const counts = [0, 1, 2].map(async i =>
        wordsOf(await readAt(handle, 4 * rows, headerBytes + 4 * rows * i)),
      );
      const tail = await readAt(
        handle,
        header.readUInt32LE(12),
        size - digestBytes - header.readUInt32LE(12),
      );
      return new TokenFile(handle, await Promise.all(counts), JSON.parse(tail.toString()) as TokenNotes);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get count(): number {
    return this.lengths.length;
  }

  /** The first `maxLength` ids of one row. */
  async read(row: number, maxLength = Infinity): Promise<TokenRow> {
    const whole = this.lengths[row] as number;
    const length = Math.min(whole, maxLength);
    const bytes = await readAt(
      this.#handle,
      tokenBytes * whole,
      idsStart(this.count) + tokenBytes * startOf(this.#starts, this.lengths, row),
    );
    const ids = new Int32Array(bytes.buffer, bytes.byteOffset, length);
    const learned = new Uint8Array(bytes.buffer, bytes.byteOffset + 4 * whole, length);
    return { ids, promptLength: Math.min(this.promptLengths[row] as number, length), learned };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

const none = new Uint32Array();

function idsStart(rows: number): number {
  return headerBytes + 12 * rows;
}

/** Rows whose start is worked out from the lengths: one start is kept for so many rows. */
const rowsPerBlock = 64;

/** Where the first row of each block starts, in ids. */
function blockStarts(lengths: Uint32Array): Float64Array {
  const starts = new Float64Array(Math.ceil(lengths.length / rowsPerBlock));
  let start = 0;
  for (let row = 0; row < lengths.length; row++) {
    if (row % rowsPerBlock === 0) starts[row / rowsPerBlock] = start;
    start += lengths[row] as number;
  }
  return starts;
}

function startOf(starts: Float64Array, lengths: Uint32Array, row: number): number {
  const block = Math.floor(row / rowsPerBlock);
  let start = starts[block] as number;
  for (let before = block * rowsPerBlock; before < row; before++) start += lengths[before] as number;
  return start;
}

async function digestOfFirst(path: string, bytes: number): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { end: bytes - 1 })) hash.update(chunk);
  return hash.digest();
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array | Uint32Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

function wordsOf(bytes: Buffer): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** A buffer of its own, so that views of it are aligned. */
async function readAt(handle: FileHandle, length: number, position: number): Promise<Buffer> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}
