/** Files of a run directory, validated; what is wrong is named by file and line. */
import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { readLines } from '../data/json-lines.ts';
import { TmsError } from '../errors.ts';
import { sha256OfFile } from '../files/atomic.ts';
import { prefixDigests, readLedger } from '../run/ledger.ts';

/** A JSON file of that schema; null where there is none. Throws `TmsError` when it is something else. */
export async function readJson<S extends z.ZodType>(file: string, schema: S): Promise<z.output<S> | null> {
  const text = await readText(file);
  return text === null ? null : parseLine(text, schema, file, null);
}

/** A YAML mapping as plain values; null where there is none. Throws `TmsError` on anything else. */
export function readYamlMapping(file: string): Record<string, unknown> | null {
  if (!exists(file)) return null;
  const document = parseDocument(readFileSync(file, 'utf8'), { version: '1.2' });
  const [error] = document.errors;
  const value: unknown = error === undefined ? document.toJS() : null;
  if (isMapping(value)) return value;
  throw corrupt(file, error?.linePos?.[0].line ?? null, error?.message ?? 'not a mapping of keys to values');
}

/**
 * The lines of a JSONL file of that schema, as a stream; none where there is no file. Throws `TmsError` at a line that is
 * something else, but for a last line without its newline: a run that was killed while writing leaves one.
 */
export async function* readJsonLines<S extends z.ZodType>(
  file: string,
  schema: S,
  onTornEnd: (file: string) => void,
): AsyncGenerator<z.output<S>> {
  if (!exists(file)) return;
  const size = statSync(file).size;
  for await (const lines of readLines(file)) {
    for (const { number, offset, length, bytes } of lines) {
      if (offset + length === size) return onTornEnd(file);
      yield parseLine(bytes.toString('utf8'), schema, file, number);
    }
  }
}

/** A file of a run that does not hold what it should. */
export function corrupt(file: string, line: number | null, found: string): TmsError {
  const place = line === null ? file : `${file}, line ${line}`;
  return new TmsError(`${place}: ${found}`, {
    fix: 'restore the file from a copy, or run again: a report needs every file of the run intact',
  });
}

function parseLine<S extends z.ZodType>(
  text: string,
  schema: S,
  file: string,
  line: number | null,
): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw corrupt(file, line, `not JSON (${(error as Error).message})`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(issue => `${issue.path.join('.') || 'value'}: ${issue.message}`);
  throw corrupt(file, line, problems.slice(0, 3).join('; '));
}

async function readText(file: string): Promise<string | null> {
  return exists(file) ? readFile(file, 'utf8') : null;
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// What is reported must be what was measured: the ledger has the digest of every file that a unit of work made.

/** Throws `TmsError` naming every file that is gone or no longer what the ledger says. A directory without a ledger says nothing. */
export function checkFiles(directory: string): void {
  const path = join(directory, 'ledger.jsonl');
  const { entries, lines, isTorn } = readLedger(path);
  if (lines - entries.length > Number(isTorn))
    throw corrupt(path, entries.length + 1, 'does not match its checksum');
  const files = new Map(entries.flatMap(entry => ('file' in entry ? [[entry.file, entry.sha256]] : [])));
  const wrong = [...files].flatMap(([name, sha256]) => problemOf(join(directory, name), sha256));
  const metrics = join(directory, 'metrics.jsonl');
  const digestTo = prefixDigests(metrics);
  const isChanged = entries.some(
    entry => entry.unit === 'train' && digestTo(entry.metricsBytes) !== entry.metricsSha256,
  );
  if (isChanged) wrong.push(`${metrics} is not what the ledger says`);
  if (wrong.length === 0) return;
  throw new TmsError(`${directory} cannot be reported: ${wrong.join('; ')}`, {
    fix: `restore from a copy, or make it again: npx tms resume ${directory}`,
  });
}

function problemOf(file: string, sha256: string): string[] {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return [`${file} is missing`];
  const found = sha256OfFile(file);
  return found === sha256 ? [] : [`${file} is not what the ledger says (SHA-256 ${found}, not ${sha256})`];
}
