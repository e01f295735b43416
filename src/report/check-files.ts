/** What is reported must be what was measured: the ledger has the digest of every file that a unit of work made. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { TmsError } from '../errors.ts';
import { sha256OfFile } from '../files/atomic.ts';
import { prefixDigests, readLedger } from '../run/ledger.ts';
import { corrupt } from './run-files.ts';

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
    fix: `restore from a copy, or make it again: tms resume ${directory}`,
  });
}

function problemOf(file: string, sha256: string): string[] {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return [`${file} is missing`];
  const found = sha256OfFile(file);
  return found === sha256 ? [] : [`${file} is not what the ledger says (SHA-256 ${found}, not ${sha256})`];
}
