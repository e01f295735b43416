import { existsSync, mkdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { z } from 'zod';
import { UsageError } from '../errors.ts';
import { appendDurably, overwrite, sha256OfFile, wholeLineBytes, writeFileAtomic } from '../files/atomic.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { holdLock } from '../files/lock.ts';
import { readRecord } from '../files/read-record.ts';
import { isSystemError } from '../files/system-error.ts';
import {
  inspectRun,
  lockOf,
  type RunIdentity,
  readRunRecord,
  refuseChanges,
  removeUnfinished,
} from './existing-run.ts';
import { type Ledger, type LedgerEntry, openLedger } from './ledger.ts';
import { changedNumerics, type Numerics } from './numerics.ts';
import {
  evaluationRecord,
  type MetricsLine,
  metricsLine,
  type RunRecord,
  type runRecord,
  type TimingLine,
} from './records.ts';

type TrainEntry = Extract<LedgerEntry, { unit: 'train' }>;

/** A run on disk, held by this process: one process writes to it at a time. Close it. */
export class RunDirectory {
  readonly path: string;
  readonly ledger: Ledger;
  /** Lines of the ledger that a crash had damaged and that were cut off. */
  readonly droppedLedgerLines: number;
  #record: RunRecord;
  #metricsBytes: number;
  readonly #timedTo: ReadonlyMap<string, number>;
  readonly #release: () => void;

  private constructor(path: string, record: RunRecord, release: () => void) {
    this.path = path;
    this.#record = record;
    this.#release = release;
    const [metrics, timing] = [this.file('metrics.jsonl'), this.file('timing.jsonl')];
    const { ledger, dropped } = openLedger({
      path: this.file('ledger.jsonl'),
      metrics,
      timing,
    });
    this.ledger = ledger;
    this.droppedLedgerLines = dropped;
    // Answers are of another training's step, facts of none.
    const trained = ledger.entries.filter(({ unit }) => !['answers', 'mix', 'fact'].includes(unit));
    this.#timedTo = new Map(trained.toSorted((a, b) => a.step - b.step).map(e => [e.training, e.step]));
    // Metrics end where the last trained segment ended: whatever came after is written again, to the same bytes.
    const last = ledger.entries.findLast(entry => entry.unit === 'train');
    this.#metricsBytes = last?.unit === 'train' ? last.metricsBytes : 0;
    cutTo(metrics, this.#metricsBytes);
    cutTo(timing, Math.min(wholeLineBytes(timing), ledger.entries.at(-1)?.timingBytes ?? 0));
  }

  /** Begin a run in a directory that is not there or empty. */
  static create(
    path: string,
    {
      numerics,
      ...record
    }: Omit<RunRecord, 'format' | 'status' | 'startedAt' | 'finishedAt' | 'error' | 'numerics'> & {
      readonly numerics: Numerics;
    },
  ): RunDirectory {
    const release = holdLock(lockOf(path), `the run directory ${path}`);
    const now = new Date().toISOString();
    const whole: RunRecord = {
      format: 1,
      status: 'running',
      startedAt: now,
      finishedAt: null,
      error: null,
      numerics: [{ at: now, after: null, values: numerics }],
      ...record,
    };
    return RunDirectory.#open(path, release, () => {
      if (inspectRun(path) === 'free') return whole;
      throw new UsageError(`another run began in ${path} meanwhile`, {
        fix: 'choose another: --set output_dir=NEW',
      });
    });
  }

  /** A failure on the way never leaves the lock behind. */
  static #open(path: string, release: () => void, recordOf: () => RunRecord): RunDirectory {
    try {
      const record = recordOf();
      removeUnfinished(path);
      const directory = new RunDirectory(path, record, release);
      directory.#writeRecord();
      return directory;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Go on with an interrupted run. Throws `UsageError` when model, data or configuration are no longer what they were. */
  static resume(path: string, identity: RunIdentity): RunDirectory {
    const release = holdLock(lockOf(path), `the run directory ${path}`);
    return RunDirectory.#open(path, release, () => {
      const record = readRunRecord(path);
      refuseChanges(path, record, identity);
      return { ...record, status: 'running', error: null };
    });
  }

  get record(): RunRecord {
    return this.#record;
  }

  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Bytes of metrics.jsonl that are on disk. */
  get metricsBytes(): number {
    return this.#metricsBytes;
  }

  appendMetrics(lines: readonly MetricsLine[]): void {
    if (lines.length === 0) return;
    const text = lines.map(line => `${JSON.stringify(line)}\n`).join('');
    appendDurably(this.file('metrics.jsonl'), text);
    this.#metricsBytes += Buffer.byteLength(text);
  }

  appendTiming(line: TimingLine): void {
    appendDurably(
      this.file('timing.jsonl'),
      `${JSON.stringify({ ...line, seconds: Number(line.seconds.toFixed(3)) })}\n`,
    );
  }

  write(name: string, data: string | Buffer): void {
    writeFileAtomic(this.file(name), data);
  }

  /** A file of this directory whose folder is there. */
  place(name: string): string {
    const path = this.file(name);
    mkdirSync(dirname(path), { recursive: true });
    return path;
  }

  /** The ledger's lines of a training, by step. */
  trainedEntries(training: string): TrainEntry[] {
    return this.ledger.entries.filter(
      (entry): entry is TrainEntry => entry.unit === 'train' && entry.training === training,
    );
  }

  /** The last of them. */
  trained(training: string): TrainEntry | null {
    return this.trainedEntries(training).at(-1) ?? null;
  }

  /** The step that a training has durably reached. */
  trainedTo(training: string): number {
    return this.trained(training)?.step ?? 0;
  }

  /** Note that a training reached a step, and how much of metrics.jsonl was there. */
  recordTraining(entry: Omit<TrainEntry, 'unit' | 'metricsBytes' | 'metricsSha256' | 'timingBytes'>): void {
    this.ledger.append({ unit: 'train', metricsBytes: this.metricsBytes, ...entry });
  }

  /** Whether an earlier attempt has trained to `step` and noted its time: the time of doing it again is no cost of the run. */
  isTimed(training: string, step: number): boolean {
    return step <= (this.#timedTo.get(training) ?? 0);
  }

  /** Digest of the weights that were measured at a step; null where none were. */
  evaluatedDigest(training: string, step: number): string | null {
    const entry = this.ledger.find('evaluate', training, step);
    const file = entry && this.file(entry.file);
    if (!file || !existsSync(file) || sha256OfFile(file) !== entry.sha256) return null;
    return readRecord(file, evaluationRecord).value?.weightsDigest ?? null;
  }

  /** The lines of metrics.jsonl that steps of a training wrote. */
  metricsOf(training: string): MetricsLine[] {
    const lines = readFileSync(this.file('metrics.jsonl'), 'utf8').split('\n').filter(Boolean);
    return lines
      .map(line => metricsLine.parse(JSON.parse(line)))
      .filter(line => line.training === training && 'learning_rate' in line);
  }

  /** Note with what the run goes on; returns what changed of it since. */
  goOnWith(numerics: Numerics): string[] {
    const changes = changedNumerics(this.#record, numerics);
    if (changes.length === 0) return [];
    const last = this.ledger.entries.findLast(({ unit }) => unit !== 'fact');
    const after = last === undefined ? null : `${last.unit} ${last.training} ${last.step}`;
    const entry = { at: new Date().toISOString(), after, values: numerics };
    this.#record = { ...this.#record, numerics: [...this.#record.numerics, entry] };
    this.#writeRecord();
    return changes;
  }

  finish(status: RunRecord['status'], error: string | null = null): void {
    this.#record = { ...this.#record, status, error, finishedAt: new Date().toISOString() };
    this.#writeRecord();
  }

  close(): void {
    this.#release();
  }

  #writeRecord(): void {
    const { sha256: _, ...record }: z.infer<typeof runRecord> = this.#record;
    const text = `${JSON.stringify({ ...record, sha256: sha256OfRecord(record) }, null, 2)}\n`;
    try {
      this.write('run.json', text);
    } catch (error) {
      if (!isFull(error) || !existsSync(this.file('run.json'))) throw error;
      overwrite(this.file('run.json'), text); // a full disk takes what needs no further block
    }
  }
}

function isFull(error: unknown): boolean {
  return isSystemError(error) && ['ENOSPC', 'EDQUOT'].includes(error.code);
}

function cutTo(file: string, bytes: number): void {
  if (existsSync(file) && statSync(file).size > bytes) truncateSync(file, bytes);
}
