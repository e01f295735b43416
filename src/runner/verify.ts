/** A finished run once more, from its own record, in a fresh directory with a fresh store. */
import { join } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { UsageError } from '../errors.ts';
import { readRecord } from '../files/read-record.ts';
import { inspectRun, readRunRecord } from '../run/existing-run.ts';
import { isChangedFact } from '../run/facts.ts';
import { changedNumerics } from '../run/numerics.ts';
import { environmentRecord, type RunRecord } from '../run/records.ts';
import { type Artefact, compareRuns } from './compare-runs.ts';
import { executeRun, type RunOptions } from './execute.ts';

/** `changed`: how the repetition computed otherwise, so that last bits may differ. */
export type Verification = {
  readonly artefacts: readonly Artefact[];
  readonly changed: readonly string[];
  readonly environment: ReturnType<typeof environmentOf>;
};

/** Refuse what cannot be repeated, before anything is loaded; returns its record. */
export function refuseUnrepeatable(path: string): RunRecord {
  if (inspectRun(path) !== 'run')
    throw new UsageError(`${path} holds no run to verify`, { fix: 'name the output_dir of a run' });
  const record = readRunRecord(path);
  if (record.status !== 'finished')
    throw new UsageError(`${path} cannot be verified: the run is ${record.status}`, {
      fix: `finish it first: npx tms resume ${path}`,
    });
  const saved = 'config.resolved.yaml';
  if (isChangedFact(path, saved))
    throw new UsageError(
      `${path} cannot be verified: its ${saved} is not what the ledger says, so it is not known what was run`,
      { fix: 'restore the file from a copy' },
    );
  return record;
}

/** What decided the last bits, as `--set` takes it: the machine may have more cores by now. */
export function recordedNumerics({ numerics }: RunRecord): string[] {
  const values = numerics.at(-1)?.values ?? {};
  return ['worker.threads', 'worker.token_budget'].flatMap(key =>
    typeof values[key] === 'number' ? [`${key}=${values[key]}`] : [],
  );
}

/** Run `config`, which is that of the run in `path` but for its directory, and compare. Throws `UsageError` where an input changed. */
export async function verifyRun(
  path: string,
  config: RunConfig,
  options: Omit<RunOptions, 'resume' | 'repeats'>,
): Promise<Verification> {
  await executeRun(config, { ...options, resume: false, repeats: path });
  const [before, now] = [path, config.output_dir].map(readRunRecord) as [RunRecord, RunRecord];
  const again = now.numerics.at(-1)?.values ?? {};
  const onTheWay = before.numerics.length > 1 ? ['the run was resumed with other settings on its way'] : [];
  return {
    artefacts: compareRuns(path, config.output_dir),
    changed: [...onTheWay, ...changedNumerics(before, again)],
    environment: environmentOf(config.output_dir),
  };
}

function environmentOf(path: string) {
  return readRecord(join(path, 'environment.json'), environmentRecord).value;
}
