import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { appendDurably, writeFileAtomic } from '../files/atomic.ts';
import { holdLock } from '../files/lock.ts';
import { type Ledger, openLedger } from './ledger.ts';
import { type MetricsLine, type ModelName, type RunRecord, runRecord, type TimingLine } from './records.ts';

/** What makes two runs the same: a resume must find all three as they were. */
export type RunIdentity = Pick<RunRecord, 'configDigest' | 'baseDigest' | 'dataDigest'>;

/** A run on disk, held by this process: one process writes to it at a time. Close it. */
export class RunDirectory {
  readonly path: string;
  readonly ledger: Ledger;
  /** Lines of the ledger that a crash had damaged and that were cut off. */
  readonly droppedLedgerLines: number;
  #record: RunRecord;
  #metricsBytes: number;
  readonly #release: () => void;

  private constructor(path: string, record: RunRecord, release: () => void) {
    this.path = path;
    this.#record = record;
    this.#release = release;
    const { ledger, dropped } = openLedger(this.file('ledger.jsonl'));
    this.ledger = ledger;
    this.droppedLedgerLines = dropped;
    this.#metricsBytes = this.#truncateMetrics();
  }

  /** Begin a run in a directory that is not there or empty. */
  static create(
    path: string,
    record: Omit<RunRecord, 'format' | 'status' | 'startedAt' | 'finishedAt' | 'error'>,
  ): RunDirectory {
    const release = holdLock(`${resolve(path)}/lock`, `the run directory ${path}`);
    removeParts(path);
    const now = new Date().toISOString();
    const whole: RunRecord = {
      format: 1,
      status: 'running',
      startedAt: now,
      finishedAt: null,
      error: null,
      ...record,
    };
    const directory = new RunDirectory(path, whole, release);
    directory.#writeRecord();
    return directory;
  }

  /** Go on with an interrupted run. Throws `UsageError` when model, data or configuration are no longer what they were. */
  static resume(path: string, identity: RunIdentity): RunDirectory {
    const release = holdLock(`${resolve(path)}/lock`, `the run directory ${path}`);
    try {
      const record = readRunRecord(path);
      refuseChanges(path, record, identity);
      removeParts(path);
      const directory = new RunDirectory(path, { ...record, status: 'running', error: null }, release);
      directory.#writeRecord();
      return directory;
    } catch (error) {
      release();
      throw error;
    }
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

  /** The step that training of a stage has durably reached. */
  trainedTo(stage: ModelName): number {
    return this.ledger.entries.findLast(entry => entry.unit === 'train' && entry.stage === stage)?.step ?? 0;
  }

  finish(status: RunRecord['status'], error: string | null = null): void {
    this.#record = { ...this.#record, status, error, finishedAt: new Date().toISOString() };
    this.#writeRecord();
  }

  close(): void {
    this.#release();
  }

  #writeRecord(): void {
    this.write('run.json', `${JSON.stringify(this.#record, null, 2)}\n`);
  }

  /** Metrics end where the last trained segment ended: whatever came after is written again, to the same bytes. */
  #truncateMetrics(): number {
    const file = this.file('metrics.jsonl');
    const last = this.ledger.entries.findLast(entry => entry.unit === 'train');
    const bytes = last?.unit === 'train' ? last.metricsBytes : 0;
    if (existsSync(file) && statSync(file).size > bytes) truncateSync(file, bytes);
    return bytes;
  }
}

/** What is at `path`: decides whether a run may begin, must be resumed, or is refused. */
export function inspectRun(path: string): 'free' | 'run' | 'other' {
  if (!existsSync(path)) return 'free';
  if (!statSync(path).isDirectory()) return 'other';
  if (existsSync(join(path, 'run.json'))) return 'run';
  return readdirSync(path).every(name => name === 'lock' || unfinished.test(name)) ? 'free' : 'other';
}

export function readRunRecord(path: string): RunRecord {
  const file = join(path, 'run.json');
  if (!existsSync(file))
    throw new UsageError(`${path} holds no run: there is no run.json`, {
      fix: 'name the output_dir of a run',
    });
  const parsed = runRecord.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success)
    throw new UsageError(
      `${file} is not what this version of tms writes: ${parsed.error.issues[0]?.message}`,
    );
  return parsed.data;
}

/** Names of files and directories that a killed process had begun to write. */
const unfinished = /\.part$|\.tmp-\d+(-\w+)?$/;

function removeParts(path: string): void {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true });
  for (const { name, parentPath } of entries)
    if (unfinished.test(name)) rmSync(join(parentPath, name), { recursive: true, force: true });
}

function refuseChanges(path: string, record: RunRecord, identity: RunIdentity): void {
  const names = {
    configDigest: 'the configuration',
    baseDigest: 'the base model',
    dataDigest: 'the data',
  } as const;
  const changed = (Object.keys(names) as (keyof typeof names)[]).filter(key => record[key] !== identity[key]);
  if (changed.length === 0) return;
  throw new UsageError(
    `${path} cannot be resumed: ${changed.map(key => names[key]).join(' and ')} changed since it began`,
    {
      fix: 'undo the change, or start a new run: --set output_dir=NEW (answers and SFT stages that still fit are taken from the store)',
    },
  );
}
