/** What may be another when a run goes on, and what is noted of it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ChangedSetting, changedSettings, describeChange } from '../config/changed-settings.ts';
import type { DataForm } from '../config/effects.ts';
import { methodIn } from '../config/import-method.ts';
import { configToYaml, loadConfig } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { UsageError } from '../errors.ts';
import { readRecord } from '../files/read-record.ts';
import { readUserText } from '../files/user-file.ts';
import { knownMethods } from '../methods/index.ts';
import { inspectRun, readRunRecord } from '../run/existing-run.ts';
import { isChangedFact, writeFact } from '../run/facts.ts';
import { changedNumerics, type Numerics } from '../run/numerics.ts';
import { environmentRecord } from '../run/records.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import type { Progress } from '../training/run.ts';

/** The configuration as it was resolved. */
const resolvedFile = 'config.resolved.yaml';

/** Refuse a method whose file is no longer what the run began with, before its block is checked. */
export function refuseOtherMethod(path: string, method: unknown): void {
  const known = knownMethods().find(({ key }) => key === method);
  if (known === undefined || inspectRun(path) !== 'run') return;
  if (readRunRecord(path).methodDigest === known.code) return;
  throw new UsageError(
    `${path} cannot be resumed: the method ${method}, or a file that it imports, changed since it began`,
    {
      fix: 'undo the change, or start a new run: --set output_dir=NEW (what still fits is taken from the store)',
    },
  );
}

/** Refuse, before anything is loaded, keys that would make other results. */
export function refuseOtherResults(config: RunConfig): void {
  const changed = changedSince(config).filter(({ affects }) => affects === 'result');
  if (changed.length === 0) return;
  const what = changed.map(describeChange).join('; ');
  if (isChangedFact(config.output_dir, resolvedFile))
    throw new UsageError(
      `${join(config.output_dir, resolvedFile)} is not what the ledger says: it differs from the configuration in ${what}`,
      { fix: 'restore the file from a copy, or remove it: it is made again from the configuration' },
    );
  throw new UsageError(
    `${config.output_dir} cannot be resumed: the configuration changed since it began: ${what}`,
    {
      fix: 'undo the change, or start a new run: --set output_dir=NEW (what still fits is taken from the store)',
    },
  );
}

/** Refuse what `determinism: strict` promises not to happen: bits that an undisturbed run would not have. */
export function refuseOtherBits({ output_dir: path, determinism }: RunConfig, now: Numerics): void {
  const record = readRunRecord(path);
  const changes = changedNumerics(record, now);
  const isPromised = determinism === 'strict' && record.numerics.at(-1)?.values.determinism === 'strict';
  if (!isPromised || changes.length === 0) return;
  throw new UsageError(
    `${path} cannot be resumed: determinism is strict, and the last bits change with ${changes.join('; ')}`,
    { fix: 'undo the change, or give the promise up: --set determinism=auto' },
  );
}

/** The run as it goes on from here: its files say with what. */
export function goOn(
  directory: RunDirectory,
  config: RunConfig,
  { numerics, form, progress }: { numerics: Numerics; form: DataForm; progress: Progress },
): void {
  if (changedSince(config).some(({ key }) => key !== 'output_dir'))
    writeFact(directory, resolvedFile, configToYaml(config, form));
  const changes = directory.goOnWith(numerics);
  if (changes.length === 0) return;
  const note = `${changes.join('; ')}: from here on the last bits of results may differ from those of an undisturbed run`;
  progress.say(`note: ${note}`);
  const { value: environment } = readRecord(directory.file('environment.json'), environmentRecord);
  const { at, after } = directory.record.numerics.at(-1) ?? {};
  const notes = [
    ...(environment?.notes ?? []),
    `Resumed at ${at} (after ${after ?? 'nothing'}) with ${note}.`,
  ];
  if (environment !== null)
    writeFact(directory, 'environment.json', `${JSON.stringify({ ...environment, notes }, null, 2)}\n`);
}

function changedSince(config: RunConfig): ChangedSetting[] {
  const saved = join(config.output_dir, resolvedFile);
  if (!existsSync(saved)) return [];
  const from = methodIn(readUserText(saved, 'the configuration'), saved);
  // The keys of a method that is not this run's may be unknown here.
  if (from !== config.method) return [{ key: 'method', from, to: config.method, affects: 'result' }];
  refuseOtherMethod(config.output_dir, from);
  return changedSettings(loadConfig(saved), config);
}
