/**
 * The ledger of a run: one line for every finished unit, written after everything the unit made is on disk. What is in it is done;
 * what is not is done again.
 */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { appendDurably, writeFileAtomic } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import { trainingName } from './records.ts';

/** `timingBytes`: how much of timing.jsonl was there; a resume cuts it back, so that work done again is not counted twice. */
const position = { stage: trainingName, step: z.int().min(0), timingBytes: z.int().min(0) };

const ledgerEntry = z.discriminatedUnion('unit', [
  /** Training reached `step`; `state` (below the run directory) continues from it, null at the end of a stage. */
  z.strictObject({
    unit: z.literal('train'),
    ...position,
    state: z.string().nullable(),
    metricsBytes: z.int(),
    weightsDigest: z.string(),
  }),
  /** The weights of a checkpoint were kept in the store. */
  z.strictObject({ unit: z.literal('checkpoint'), ...position, weightsDigest: z.string() }),
  z.strictObject({ unit: z.literal('answers'), ...position, file: z.string(), sha256: z.string() }),
  z.strictObject({
    unit: z.literal('evaluate'),
    ...position,
    file: z.string(),
    sha256: z.string(),
    metricsBytes: z.int(),
  }),
  z.strictObject({ unit: z.literal('mix'), ...position, file: z.string(), sha256: z.string() }),
]);
export type LedgerEntry = z.infer<typeof ledgerEntry>;
type Unit = LedgerEntry['unit'];
type Unstamped<E> = E extends unknown ? Omit<E, 'timingBytes'> : never;
type EntryOf<U extends Unit> = Extract<LedgerEntry, { unit: U }>;

export type Ledger = {
  readonly entries: readonly LedgerEntry[];
  /** The entry of a finished unit. */
  find<U extends Unit>(unit: U, stage: string, step: number): EntryOf<U> | undefined;
  append(entry: Unstamped<LedgerEntry>): void;
};

export type LedgerFiles = {
  readonly path: string;
  /** Bytes of metrics.jsonl in whole lines. */
  readonly metricsBytes: number;
  /** Bytes of timing.jsonl as it stands. */
  readonly timingBytes: () => number;
};

/**
 * Read a ledger. A tail that a crash left half-written, that does not match its checksum, or whose metrics are lost, is cut off: its
 * work is done again.
 */
export function openLedger(files: LedgerFiles): { ledger: Ledger; dropped: number } {
  const { path, metricsBytes } = files;
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const lines = text.split('\n');
  const entries: LedgerEntry[] = [];
  for (const line of lines) {
    const entry = parseLine(line);
    if (entry === null || (entry.unit === 'train' && entry.metricsBytes > metricsBytes)) break;
    entries.push(entry);
  }
  const dropped = lines.filter(line => line !== '').length - entries.length;
  const isTorn = text !== '' && !text.endsWith('\n'); // the next line must not be glued to it
  if (dropped > 0 || isTorn) writeFileAtomic(path, entries.map(lineOf).join(''));
  return { ledger: ledgerOver(files, entries), dropped };
}

function ledgerOver({ path, timingBytes }: LedgerFiles, entries: LedgerEntry[]): Ledger {
  return {
    entries,
    find: <U extends Unit>(unit: U, stage: string, step: number) =>
      entries.findLast(entry => entry.unit === unit && entry.stage === stage && entry.step === step) as
        | EntryOf<U>
        | undefined,
    append(entry) {
      const stamped = { ...entry, timingBytes: timingBytes() } as LedgerEntry;
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
