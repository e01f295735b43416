/**
 * JSON as a file writes it. JSON.parse would make every number a double and print another text for it, take the last of two equal
 * keys, and let half characters through. Pure.
 */

/** A number whose text is not the one that JavaScript gives its value: `3.50`, `1e5`, `-0`, twenty digits. */
export class ExactNumber {
  readonly written: string;

  constructor(written: string) {
    this.written = written;
  }
}

/** A text that is no JSON, or JSON that says two things; the caller adds file and line. */
export class JsonError extends Error {}

/** The text of each list and block inside a value, for templates. */
const sources = new WeakMap<object, string>();

const deepest = 500;

/** The value of a JSON text; numbers that JavaScript would write differently are `ExactNumber`. Throws `JsonError`. */
export function parseJson(text: string): unknown {
  const reader = { text, at: 0, backslash: -1 };
  const value = readValue(reader, 0);
  skipSpace(reader);
  if (reader.at < text.length) throw unexpected(reader, 'the end');
  return value;
}

/** Is this a number, however it is kept? */
export function isNumber(value: unknown): value is number | ExactNumber {
  return typeof value === 'number' || value instanceof ExactNumber;
}

/**
 * What a value says: a text itself; a number as the file writes it; a list or block as the file writes it, but for the escapes of its
 * texts. Null where nothing is said.
 */
export function writtenText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (value instanceof ExactNumber) return value.written;
  if (typeof value !== 'object') return String(value);
  const source = sources.get(value);
  return source === undefined ? toJson(value) : source.replaceAll(stringToken, unescaped);
}

/** The shortest JSON of a value, numbers as they were written; `isSorted`: the same for every order of keys. */
export function toJson(value: unknown, isSorted = false): string {
  if (value instanceof ExactNumber) return value.written;
  if (Array.isArray(value)) return `[${value.map(entry => toJson(entry, isSorted)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  if (isSorted) entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${toJson(entry, isSorted)}`).join(',')}}`;
}

/** The same value for code that knows no `ExactNumber`: every number a double. */
export function withDoubles(value: unknown): unknown {
  if (value instanceof ExactNumber) return Number(value.written);
  if (Array.isArray(value)) return value.map(withDoubles);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withDoubles(entry)]));
}

const stringToken = /"[^"\\]*(?:\\.[^"\\]*)*"/g;

function unescaped(token: string): string {
  return token.includes('\\') ? JSON.stringify(JSON.parse(token)) : token;
}

type Reader = { readonly text: string; at: number; backslash: number };

function readValue(reader: Reader, depth: number): unknown {
  if (depth > deepest) throw new JsonError(`broken JSON: nested deeper than ${deepest}`);
  skipSpace(reader);
  const first = reader.text[reader.at];
  if (first === '"') return readString(reader);
  if (first === '{' || first === '[') return readBlock(reader, first, depth);
  return readNumber(reader) ?? readLiteral(reader);
}

function readBlock(reader: Reader, first: '{' | '[', depth: number): object {
  const start = reader.at;
  const value = first === '{' ? readObject(reader, depth) : readArray(reader, depth);
  if (depth > 0) sources.set(value, reader.text.slice(start, reader.at));
  return value;
}

function readObject(reader: Reader, depth: number): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  reader.at++;
  for (let isFirst = true; !isClosed(reader, '}', isFirst); isFirst = false) {
    skipSpace(reader);
    if (reader.text[reader.at] !== '"') throw unexpected(reader, 'a key in double quotes');
    const key = readString(reader);
    if (Object.hasOwn(record, key)) throw new JsonError(`the key ${JSON.stringify(key)} stands twice`);
    skipSpace(reader);
    if (reader.text[reader.at] !== ':') throw unexpected(reader, 'a colon');
    reader.at++;
    const value = readValue(reader, depth + 1);
    if (key !== '__proto__') record[key] = value;
    else Object.defineProperty(record, key, { value, enumerable: true, writable: true, configurable: true });
  }
  return record;
}

function readArray(reader: Reader, depth: number): unknown[] {
  const list: unknown[] = [];
  reader.at++;
  for (let isFirst = true; !isClosed(reader, ']', isFirst); isFirst = false)
    list.push(readValue(reader, depth + 1));
  return list;
}

/** Pass the end of a list or block, or the comma before its next entry. */
function isClosed(reader: Reader, end: '}' | ']', isFirst: boolean): boolean {
  skipSpace(reader);
  const found = reader.text[reader.at];
  if (found !== end && isFirst) return false;
  if (found !== end && found !== ',') throw unexpected(reader, `a comma or ${end}`);
  reader.at++;
  return found === end;
}

/** The text at `at`, by the native search: lines are mostly long texts without escapes. */
function readString(reader: Reader): string {
  const { text, at: start } = reader;
  let end = text.indexOf('"', start + 1);
  let backslash = nextBackslash(reader, start);
  if (end >= 0 && backslash > end) {
    reader.at = end + 1;
    return withoutControls(text.slice(start + 1, end), start);
  }
  while (end >= 0 && backslash < end) {
    if (backslash + 1 === end) end = text.indexOf('"', end + 1);
    backslash = nextBackslash(reader, backslash + 2);
  }
  if (end < 0) throw new JsonError('broken JSON: a text without its closing quote');
  reader.at = end + 1;
  return withEscapes(text.slice(start, end + 1), start);
}

/** The place of the first backslash from `from` on; searched for once, however many texts stand before it. */
function nextBackslash(reader: Reader, from: number): number {
  if (reader.backslash >= from) return reader.backslash;
  const found = reader.text.indexOf('\\', from);
  reader.backslash = found < 0 ? Infinity : found;
  return reader.backslash;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows them as escapes only
const control = /[\u0000-\u001f]/;

function withoutControls(said: string, start: number): string {
  const found = control.exec(said);
  if (found === null) return said;
  throw unexpected({ text: said, at: found.index }, 'an escape such as \\n in the text', start + 1);
}

const halfCharacter = /\p{Surrogate}/u;

function withEscapes(token: string, start: number): string {
  let said: string;
  try {
    said = JSON.parse(token) as string;
  } catch (cause) {
    throw new JsonError(
      `broken JSON: an escape that JSON does not know, in the text at column ${start + 1}`,
      { cause },
    );
  }
  const half = halfCharacter.exec(said)?.[0];
  if (half === undefined) return said;
  const code = half.charCodeAt(0).toString(16);
  throw new JsonError(`a text has half a character (\\u${code}, a lone surrogate): no tokenizer can read it`);
}

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

function readNumber(reader: Reader): number | ExactNumber | null {
  number.lastIndex = reader.at;
  const [written] = number.exec(reader.text) ?? [];
  if (written === undefined) return null;
  reader.at += written.length;
  const value = Number(written);
  return String(value) === written ? value : new ExactNumber(written);
}

const word = /-?[A-Za-z]+/y;
const literals: Readonly<Record<string, unknown>> = { true: true, false: false, null: null };

function readLiteral(reader: Reader): unknown {
  word.lastIndex = reader.at;
  const [found = ''] = word.exec(reader.text) ?? [];
  if (/^-?(?:NaN|Infinity)$/.test(found))
    throw new JsonError(`${found} is no JSON: write null, or a text, or leave the column out`);
  if (!Object.hasOwn(literals, found)) throw unexpected(reader, 'a value');
  reader.at += found.length;
  return literals[found];
}

function skipSpace(reader: Reader): void {
  for (; reader.at < reader.text.length; reader.at++) {
    const code = reader.text.charCodeAt(reader.at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
  }
}

const shownCharacters = 12;

function unexpected({ text, at }: Pick<Reader, 'text' | 'at'>, expected: string, before = 0): JsonError {
  const found =
    at < text.length ? JSON.stringify(text.slice(at, at + shownCharacters)) : 'the end of the line';
  return new JsonError(`broken JSON: expected ${expected} at column ${before + at + 1}, found ${found}`);
}
