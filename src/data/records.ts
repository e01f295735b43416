/** Lines of a data file as records, the broken ones reported. */
import type { LineProblem } from './data-error.ts';
import { JsonError, parseJson } from './json.ts';
import { type Line, mostLineBytes, readLines } from './lines.ts';
import type { SeekableFile } from './seekable.ts';
import type { DataRecord } from './template.ts';

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
