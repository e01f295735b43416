/**
 * Encoded examples on disk, in `tokens.bin` (little-endian):
 * header (magic, version, rows n, bytes of the notes: u32; tokens N: f64) | length of each row, u32 [n] | prompt length of each row,
 * u32 [n] | ids, i32 [N] | notes, JSON.
 */

import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { nameFile } from '../files/system-error.ts';
import { temporaryName } from '../files/temporary-name.ts';
import { DataError } from './data-error.ts';

/** Token ids of one example; the first `promptLength` are its prompt. */
export type TokenRow = { readonly ids: Int32Array; readonly promptLength: number };

/** What was said about the rows when they were encoded: it is about them, so it stays with them. */
export type TokenNotes = {
  /** `firstRow` is the first row that it is about. */
  readonly warnings: readonly {
    readonly code: string;
    readonly message: string;
    readonly count: number;
    readonly firstRow: number;
  }[];
  /** Ids that end an answer, ascending. */
  readonly stopIds: readonly number[];
};

const noNotes: TokenNotes = { warnings: [], stopIds: [] };

/** "tms1" */
const magic = 0x31736d74;
const version = 2;
const headerBytes = 24;

/** Everything that the ids depend on; equal keys mean equal files. */
export function tokensKey(parts: {
  readonly dataDigest: string;
  readonly tokenizer: string;
  readonly chatTemplate: string | null;
  readonly templateOptions: Readonly<Record<string, unknown>>;
  readonly eosTokenIds: readonly number[];
}): string {
  const { dataDigest, tokenizer, chatTemplate, templateOptions, eosTokenIds } = parts;
  const options = Object.entries(templateOptions).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([version, dataDigest, tokenizer, chatTemplate, options, eosTokenIds]))
    .digest('hex');
}

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
  #rows = 0;
  #tokens = 0;

  private constructor({ path, part, handle, rows }: Writing) {
    this.#path = path;
    this.#part = part;
    this.#handle = handle;
    this.#lengths = new Uint32Array(rows);
    this.#promptLengths = new Uint32Array(rows);
  }

  /** `rows` is how many will be appended. */
  static async create(path: string, rows: number): Promise<TokenFileWriter> {
    const part = temporaryName(path);
    return new TokenFileWriter({ path, part, handle: await open(part, 'w'), rows });
  }

  /** Add rows behind those written so far. */
  async append(rows: readonly TokenRow[]): Promise<void> {
    const position = idsStart(this.#lengths.length) + 4 * this.#tokens;
    for (const { ids, promptLength } of rows) {
      this.#lengths[this.#rows] = ids.length;
      this.#promptLengths[this.#rows++] = promptLength;
      this.#tokens += ids.length;
    }
    await this.#write(Buffer.concat(rows.map(({ ids }) => bytesOf(ids))), position);
  }

  /** Finish the file. Throws when rows are missing: that would be our own mistake. */
  async finish(notes: TokenNotes = noNotes): Promise<void> {
    if (this.#rows !== this.#lengths.length)
      throw new Error(`${this.#rows} of ${this.#lengths.length} rows were written`);
    const tail = Buffer.from(JSON.stringify(notes));
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(magic, 0);
    header.writeUInt32LE(version, 4);
    header.writeUInt32LE(this.#rows, 8);
    header.writeUInt32LE(tail.length, 12);
    header.writeDoubleLE(this.#tokens, 16);
    await this.#write(tail, idsStart(this.#rows) + 4 * this.#tokens);
    await this.#write(Buffer.concat([header, bytesOf(this.#lengths), bytesOf(this.#promptLengths)]), 0);
    await this.#handle.sync();
    await this.#handle.close();
    await rename(this.#part, this.#path);
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

/** Rows of a token file by number; about 8 bytes of memory a row. Owns an open file: close it. */
export class TokenFile {
  readonly lengths: Uint32Array;
  readonly promptLengths: Uint32Array;
  readonly notes: TokenNotes;
  readonly #handle: FileHandle;
  readonly #starts: Float64Array;

  private constructor(
    handle: FileHandle,
    lengths: { lengths: Uint32Array; promptLengths: Uint32Array },
    notes: TokenNotes,
  ) {
    this.lengths = lengths.lengths;
    this.promptLengths = lengths.promptLengths;
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
        size !== idsStart(rows) + 4 * header.readDoubleLE(16) + header.readUInt32LE(12)
      ) {
        throw new DataError(`${path} is not a whole token file`, {
          fix: 'delete it; it is made again from the data',
        });
      }
      const lengths = wordsOf(await readAt(handle, 4 * rows, headerBytes));
      const promptLengths = wordsOf(await readAt(handle, 4 * rows, headerBytes + 4 * rows));
      const tail = await readAt(handle, header.readUInt32LE(12), size - header.readUInt32LE(12));
      return new TokenFile(handle, { lengths, promptLengths }, JSON.parse(tail.toString()) as TokenNotes);
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
    const length = Math.min(this.lengths[row] as number, maxLength);
    const bytes = await readAt(
      this.#handle,
      4 * length,
      idsStart(this.count) + 4 * startOf(this.#starts, this.lengths, row),
    );
    const ids = new Int32Array(bytes.buffer, bytes.byteOffset, length);
    return { ids, promptLength: Math.min(this.promptLengths[row] as number, length) };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

function idsStart(rows: number): number {
  return headerBytes + 8 * rows;
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
