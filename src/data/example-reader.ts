import { type FileHandle, open } from 'node:fs/promises';
import { DataError } from './data-error.ts';
import { type Example, exampleDigest } from './example.ts';
import type { ExampleIndex } from './example-index.ts';
import { parseRecord } from './json-lines.ts';
import { type ShapeOptions, shapeExample } from './shape.ts';
import type { DataRecord } from './template.ts';

/** Examples of an indexed file, by row. Owns an open file: close it. */
export class ExampleReader {
  readonly #index: ExampleIndex;
  readonly #options: ShapeOptions;
  readonly #handle: FileHandle;

  private constructor(index: ExampleIndex, options: ShapeOptions, handle: FileHandle) {
    this.#index = index;
    this.#options = options;
    this.#handle = handle;
  }

  /** `options` must be those that the index was made with. */
  static async open(index: ExampleIndex, options: ShapeOptions): Promise<ExampleReader> {
    return new ExampleReader(index, options, await open(index.file, 'r'));
  }

  /** One example. Throws `DataError` when the file no longer has what was indexed. */
  async read(row: number): Promise<Example> {
    const [example] = await this.readRange(row, row + 1);
    return example as Example;
  }

  /** One example with its line of the file as it stands. */
  async readRecord(row: number): Promise<{ example: Example; record: DataRecord }> {
    const { offsets } = this.#index;
    const first = offsets[row] as number;
    const bytes = Buffer.allocUnsafe((offsets[row + 1] as number) - first);
    const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, first);
    const whole = bytes.subarray(0, bytesRead);
    const end = whole.indexOf('\n');
    return {
      example: this.#parse(row, whole),
      record: parseRecord(end < 0 ? whole : whole.subarray(0, end)) as DataRecord,
    };
  }

  /** Rows start … end − 1, read from disk in one go. */
  async readRange(start: number, end: number): Promise<Example[]> {
    const { offsets } = this.#index;
    const first = offsets[start] as number;
    const bytes = Buffer.allocUnsafe((offsets[end] as number) - first);
    const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, first);
    return Array.from({ length: end - start }, (_, i) => {
      const row = start + i;
      return this.#parse(
        row,
        bytes.subarray(
          (offsets[row] as number) - first,
          Math.min(bytesRead, (offsets[row + 1] as number) - first),
        ),
      );
    });
  }

  /** `bytes` begin with the line of the row; dropped lines may follow. */
  #parse(row: number, bytes: Buffer): Example {
    const { ids, file } = this.#index;
    const end = bytes.indexOf('\n');
    const record = parseRecord(end < 0 ? bytes : bytes.subarray(0, end));
    const example =
      record === null || typeof record === 'string' ? null : shapeExample(record, this.#options).example;
    const digest = example === null ? null : exampleDigest(example);
    const isSame = digest?.readUInt32BE(0) === ids[2 * row] && digest?.readUInt32BE(4) === ids[2 * row + 1];
    if (example === null || !isSame) {
      throw new DataError(`${file} changed since it was read (example ${row})`, { fix: 'start a new run' });
    }
    return example;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
