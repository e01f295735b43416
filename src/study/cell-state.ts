/** What became of a cell, from its run directory alone. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readRecord } from '../files/read-record.ts';
import { readLedger } from '../run/ledger.ts';
import { runRecord } from '../run/records.ts';

export type CellState = {
  readonly status: 'waiting' | 'running' | 'interrupted' | 'failed' | 'finished';
  /** Why it failed, or what of it is done. */
  readonly note: string | null;
  readonly seconds: number | null;
};

/** A run that a killed process left says `running`: nobody but the study's own process can tell. */
export function stateOf(directory: string): CellState {
  const path = join(directory, 'run.json');
  if (!existsSync(path)) return { status: 'waiting', note: null, seconds: null };
  const { value, damage } = readRecord(path, runRecord);
  if (value === null) return { status: 'failed', note: `run.json is damaged: ${damage}`, seconds: null };
  const { status, error, startedAt, finishedAt } = value;
  const seconds = finishedAt === null ? null : (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000;
  return { status, note: status === 'finished' ? null : (error ?? lastDone(directory)), seconds };
}

function lastDone(directory: string): string | null {
  const last = readLedger(join(directory, 'ledger.jsonl')).entries.findLast(({ unit }) => unit !== 'fact');
  return last === undefined ? null : `${last.unit} ${last.training} ${last.step} is done`;
}
