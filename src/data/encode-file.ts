/** All examples of an index to a token file, a few at a time. */
import type { Example } from './example.ts';
import type { ExampleIndex } from './example-index.ts';
import { ExampleReader } from './example-reader.ts';
import type { ShapeOptions } from './shape.ts';
import { TokenFileWriter, type TokenRow } from './token-file.ts';
import { noNotes, type TokenNotes } from './token-notes.ts';

/** Turns examples into ids, in order: the `encode` of the worker. `firstIndex` counts from the first of these examples. */
export type Encode = (examples: readonly Example[]) => Promise<{
  readonly sequences: readonly TokenRow[];
  readonly warnings: readonly {
    readonly code: string;
    readonly message: string;
    readonly count: number;
    readonly firstIndex: number;
  }[];
  readonly stopIds: readonly number[];
  readonly readsDate: boolean;
}>;

const examplesAtOnce = 256;

/** Row i of the file is row i of the index; what is said about rows is kept in it, and may decide on its name. Returns that. */
export async function encodeToFile(
  index: ExampleIndex,
  options: ShapeOptions,
  encode: Encode,
  path: string | ((notes: TokenNotes) => string),
): Promise<string> {
  const pathFor = typeof path === 'string' ? () => path : path;
  const reader = await ExampleReader.open(index, options);
  const writer = await TokenFileWriter.create(pathFor(noNotes), index.count);
  let notes = noNotes;
  try {
    for (let start = 0; start < index.count; start += examplesAtOnce) {
      const end = Math.min(start + examplesAtOnce, index.count);
      const encoded = await encode(await reader.readRange(start, end));
      await writer.append(encoded.sequences);
      notes = merge(notes, encoded, start);
    }
    const end = pathFor(notes);
    await writer.finish(notes, end);
    return end;
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    await reader.close();
  }
}

function merge(
  notes: TokenNotes,
  { warnings, stopIds, readsDate }: Omit<Awaited<ReturnType<Encode>>, 'sequences'>,
  start: number,
): TokenNotes {
  const merged = new Map(notes.warnings.map(warning => [warning.code, warning]));
  for (const { code, message, count, firstIndex } of warnings) {
    const earlier = merged.get(code);
    const firstRow = earlier?.firstRow ?? start + firstIndex;
    merged.set(code, { code, message, count: (earlier?.count ?? 0) + count, firstRow });
  }
  return {
    warnings: [...merged.values()],
    stopIds: [...new Set([...notes.stopIds, ...stopIds])].sort((a, b) => a - b),
    readsDate: notes.readsDate || readsDate,
  };
}
