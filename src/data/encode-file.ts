/** All examples of an index to a token file, a few at a time. */
import type { Example } from './example.ts';
import type { ExampleIndex } from './example-index.ts';
import { ExampleReader } from './example-reader.ts';
import type { ShapeOptions } from './shape.ts';
import { TokenFileWriter, type TokenRow } from './token-file.ts';

/** Turns examples into ids, in order: the `encode` of the worker. */
export type Encode = (examples: readonly Example[]) => Promise<readonly TokenRow[]>;

const examplesAtOnce = 256;

/** Row i of the file is row i of the index. */
export async function encodeToFile(
  index: ExampleIndex,
  options: ShapeOptions,
  encode: Encode,
  path: string,
): Promise<void> {
  const reader = await ExampleReader.open(index, options);
  const writer = await TokenFileWriter.create(path, index.count);
  try {
    for (let start = 0; start < index.count; start += examplesAtOnce) {
      const end = Math.min(start + examplesAtOnce, index.count);
      await writer.append(await encode(await reader.readRange(start, end)));
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    await reader.close();
  }
}
