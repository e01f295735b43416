/**
 * The ledger of a run: one line for every finished unit, written after everything the unit made is on disk. What is in it is done;
 * what is not is done again.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { appendDurably, writeFileAtomic } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import { trainingName } from './records.ts';

/** `timingBytes`: how much of timing.jsonl was there; a resume cuts it back, so that work done again is not counted twice. */
const position = { training: trainingName, step: z.int().min(0), timingBytes: z.int().min(0) };

const ledgerEntry = z.discriminatedUnion('unit', [
  /** Training reached `step`; `state` (below the run directory) continues from it, null at the end. So much of metrics.jsonl was there. */
  z.strictObject({
    unit: z.literal('train'),
    ...position,
    state: z.string().nullable(),
    metricsBytes: z.int().min(0),
    metricsSha256: z.string(),
    weightsDigest: z.string(),
    files: z.string(),
  }),
  /** The weights of a checkpoint were kept in the store. */
  z.strictObject({
    unit: z.literal('checkpoint'),
    ...position,
    weightsDigest: z.string(),
    files: z.string(),
  }),
  z.strictObject({ unit: z.literal('answers'), ...position, file: z.string(), sha256: z.string() }),
  z.strictObject({
    unit: z.literal('evaluate'),
    ...position,
    file: z.string(),
    sha256: z.string(),
    metricsBytes: z.int().min(0),
  }),
  /** What the run is (facts.ts): of no training, so of the base. */
  z.strictObject({ unit: z.literal('fact'), ...position, file: z.string(), sha256: z.string() }),
  z.strictObject({ unit: z.literal('mix'), ...position, file: z.string(), sha256: z.string() }),
]);
export type LedgerEntry = z.infer<typeof ledgerEntry>;
type Unit = LedgerEntry['unit'];
type Unstamped<E> = E extends unknown ? Omit<E, 'timingBytes' | 'metricsSha256'> : never;
type FileEntry = Extract<LedgerEntry, { file: string }>;
type EntryOf<U extends Unit> = Extract<LedgerEntry, { unit: U }>;

export type Ledger = {
  readonly entries: readonly LedgerEntry[];
  /** The entry of a finished unit. */
  find<U extends Unit>(unit: U, training: string, step: number): EntryOf<U> | undefined;
  /** The last entry of a file. */
  ofFile(file: string): FileEntry | undefined;
  append(entry: Unstamped<LedgerEntry>): void;
};

/** `path`: of the ledger; metrics.jsonl and timing.jsonl beside it. */
export type LedgerFiles = { readonly path: string; readonly metrics: string; readonly timing: string };

/**
 * Read a ledger. A tail that a crash left half-written, that does not match its checksum, or whose metrics are lost or damaged, is cut
 * off: its work is done again.
 */
export function openLedger(files: LedgerFiles): { ledger: Ledger; dropped: number } {
  const { path } = files;
  const { entries: read, lines, isTorn } = readLedger(path);
  const digestTo = prefixDigests(files.metrics);
  const isLost = (entry: LedgerEntry) =>
    entry.unit === 'train' && digestTo(entry.metricsBytes) !== entry.metricsSha256;
  const firstLost = read.findIndex(isLost);
  const entries = firstLost < 0 ? read : read.slice(0, firstLost);
  const dropped = lines - entries.length;
  if (dropped > 0 || isTorn) writeFileAtomic(path, entries.map(lineOf).join(''));
  return { ledger: ledgerOver(files, entries), dropped };
}

/** The entries before the first damaged line; `isTorn`: its last line has no end, which must not be glued to the next. */
export function readLedger(path: string): { entries: LedgerEntry[]; lines: number; isTorn: boolean } {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const lines = text.split('\n').filter(line => line !== '');
  const entries: LedgerEntry[] = [];
  for (const line of lines) {
    const entry = parseLine(line);
    if (entry === null) break;
    entries.push(entry);
  }
  return { entries, lines: lines.length, isTorn: text !== '' && !text.endsWith('\n') };
}

/** Digests of the first bytes of a file, cheap for ascending numbers of them; null where there are not so many. */
export function prefixDigests(file: string): (bytes: number) => string | null {
  const content = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  let [hash, done] = [createHash('sha256'), 0];
  return bytes => {
    if (bytes > content.length) return null;
    if (bytes < done) [hash, done] = [createHash('sha256'), 0];
    hash.update(content.subarray(done, bytes));
    done = bytes;
    return hash.copy().digest('hex');
  };
}

function ledgerOver({ path, metrics: file, timing }: LedgerFiles, entries: LedgerEntry[]): Ledger {
  return {
    entries,
    find: <U extends Unit>(unit: U, training: string, step: number) =>
      entries.findLast(entry => entry.unit === unit && entry.training === training && entry.step === step) as
        | EntryOf<U>
        | undefined,
    ofFile: file => entries.findLast((entry): entry is FileEntry => 'file' in entry && entry.file === file),
    append(entry) {
      const timingBytes = statSync(timing, { throwIfNoEntry: false })?.size ?? 0;
      const metricsSha256 = entry.unit === 'train' ? prefixDigests(file)(entry.metricsBytes) : null;
      const stamped = { ...entry, timingBytes, ...(metricsSha256 && { metricsSha256 }) } as LedgerEntry;
      appendDurably(path, lineOf(stamped));
      entries.push(stamped);
    },
  };
}

function lineOf(entry: LedgerEntry): string {
  const text = JSON.stringify(entry);
  return `${sha256OfText(text).slice(0, 8)} ${text}\n`;
}

function parseLine(line: string): LedgerEntry | null {
  const text = line.slice(9);
  if (line.length < 10 || sha256OfText(text).slice(0, 8) !== line.slice(0, 8)) return null;
  const parsed = ledgerEntry.safeParse(JSON.parse(text));
  return parsed.success ? parsed.data : null;
}
