/** Two directories of the same run, artefact by artefact: what a run left, but for places and times. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { sha256OfFile } from '../files/atomic.ts';
import { type LedgerEntry, readLedger } from '../run/ledger.ts';

/** `found`: of one that differs, where and how first. */
export type Artefact = {
  readonly name: string;
  readonly state: 'same' | 'differs' | 'missing' | 'damaged';
  readonly found: string | null;
};

/** Places, times, what a machine is, what was sent to trackers, and what is made of the rest. */
const left =
  /^(run\.json|environment\.json|config\..*\.yaml|timing\.jsonl|ledger\.jsonl|report\..*|study\..*|(lock|states|samplers|trackers|tensorboard)(\/.*)?)$/;
/** Keys of plan.json that depend on the machine. */
const ofMachine = new Set(['seconds', 'disk']);

/** In the order in which `before` made them: weights by their digests, files by their bytes. */
export function compareRuns(before: string, now: string): Artefact[] {
  const [old, repeated] = [before, now].map(path => readLedger(join(path, 'ledger.jsonl')).entries);
  const entries = old ?? [];
  const seen = new Set<string>();
  const made = entries.flatMap(entry =>
    namesOf(before, entry).flatMap(name => {
      if (seen.has(name)) return [];
      seen.add(name);
      return [name.startsWith('weights ') ? weights(name, entry, repeated ?? []) : file(name, before, now)];
    }),
  );
  const rest = filesIn(before).filter(name => !seen.has(name) && name !== 'metrics.jsonl');
  const noted = new Map(entries.flatMap(entry => ('sha256' in entry ? [[entry.file, entry.sha256]] : [])));
  return [...made, ...rest.map(name => file(name, before, now))].map(one => damaged(one, before, noted));
}

/** What an entry of the ledger stands for. */
function namesOf(run: string, entry: LedgerEntry): string[] {
  const { training, step } = entry;
  if ('file' in entry) return left.test(entry.file) ? [] : [entry.file];
  const isEnd = entry.unit === 'train' && entry.state === null;
  const model = `models/${training}`;
  return [
    `metrics.jsonl of ${training}`, // finer than weights: each step has a line
    `weights of ${training} at step ${step}`,
    ...(isEnd ? filesIn(run, model) : []),
  ];
}

function weights(name: string, entry: LedgerEntry, others: readonly LedgerEntry[]): Artefact {
  const isTwin = (other: LedgerEntry) =>
    'weightsDigest' in other && other.training === entry.training && other.step === entry.step;
  const twins = others.filter(isTwin) as Extract<LedgerEntry, { weightsDigest: string }>[];
  const digest = 'weightsDigest' in entry ? entry.weightsDigest : '';
  // A training that came from the store left fewer states than one that is trained.
  if (twins.length === 0) return { name, state: 'missing', found: null };
  if (twins.some(twin => twin.weightsDigest === digest)) return { name, state: 'same', found: null };
  const found = `digest ${digest.slice(0, 12)} → ${twins[0]?.weightsDigest.slice(0, 12)}`;
  return { name, state: 'differs', found };
}

function file(name: string, before: string, now: string): Artefact {
  const [, training] = /^metrics\.jsonl of (.*)$/.exec(name) ?? [];
  const path = training === undefined ? name : 'metrics.jsonl';
  const [old, repeated] = [join(before, path), join(now, path)];
  if (!existsSync(old)) return { name, state: 'damaged', found: 'it is no longer there' };
  if (!existsSync(repeated)) return { name, state: 'missing', found: null };
  const found =
    training === undefined
      ? fileDifference(name, old, repeated)
      : lineDifference(linesOf(old, training), linesOf(repeated, training));
  return { name, state: found === null ? 'same' : 'differs', found };
}

/** A file of the first run that is no longer what its ledger says proves nothing. */
function damaged(artefact: Artefact, run: string, noted: ReadonlyMap<string, string>): Artefact {
  const digest = noted.get(artefact.name);
  const path = join(run, artefact.name);
  if (artefact.state === 'same' || digest === undefined || !existsSync(path)) return artefact;
  return sha256OfFile(path) === digest
    ? artefact
    : { ...artefact, state: 'damaged', found: 'it is not what the ledger says' };
}

function filesIn(run: string, folder = ''): string[] {
  const path = join(run, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(run, join(entry.parentPath, entry.name)))
    .filter(name => !left.test(name))
    .sort();
}

/** More than this is not searched for where it differs. */
const searchedBytes = 64e6;

function fileDifference(name: string, old: string, repeated: string): string | null {
  if (name === 'plan.json') return valueDifference(planOf(old), planOf(repeated), '');
  if (sha256OfFile(old) === sha256OfFile(repeated)) return null;
  const sizes = [old, repeated].map(path => statSync(path).size) as [number, number];
  const bytes = sizes[0] === sizes[1] ? 'other bytes' : `${sizes[0]} → ${sizes[1]} bytes`;
  if (Math.max(...sizes) > searchedBytes) return bytes;
  try {
    if (name.endsWith('.jsonl')) return lineDifference(linesOf(old), linesOf(repeated)) ?? bytes;
    if (name.endsWith('.json')) return valueDifference(jsonOf(old), jsonOf(repeated), '') ?? bytes;
  } catch {
    // Not JSON: the bytes say enough.
  }
  return bytes;
}

function planOf(path: string): unknown {
  const plan = jsonOf(path) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(plan).filter(([key]) => !ofMachine.has(key)));
}

function jsonOf(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** Of one training where that is named. */
function linesOf(path: string, training?: string): unknown[] {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line));
  return lines.filter(line => training === undefined || line.training === training);
}

function lineDifference(old: readonly unknown[], repeated: readonly unknown[]): string | null {
  for (const [i, line] of old.entries()) {
    if (i >= repeated.length) return `${old.length} → ${repeated.length} lines`;
    const found = valueDifference(line, repeated[i], '');
    if (found === null) continue;
    const step = (line as { step?: unknown }).step;
    return `line ${i + 1}${step === undefined ? '' : `, step ${step}`}: ${found}`;
  }
  return old.length === repeated.length ? null : `${old.length} → ${repeated.length} lines`;
}

/** The first value that differs, as `sets.0.accuracy: 0.5 → 0.6`. */
function valueDifference(old: unknown, repeated: unknown, path: string): string | null {
  if (isBlock(old) && isBlock(repeated)) {
    for (const key of new Set([...Object.keys(old), ...Object.keys(repeated)])) {
      const found = valueDifference(old[key], repeated[key], path === '' ? key : `${path}.${key}`);
      if (found !== null) return found;
    }
    return null;
  }
  if (Object.is(old, repeated)) return null;
  return `${path === '' ? 'value' : path}: ${shown(old)} → ${shown(repeated)}`;
}

function isBlock(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
