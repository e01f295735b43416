/** The files that say what a run is: its configuration, plan and surroundings. */
import { guessedSettings } from '../config/effects.ts';
import { configToYaml } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { describeLayers } from '../run/determinism-layers.ts';
import { keepFact } from '../run/facts.ts';
import type { EnvironmentRecord } from '../run/records.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import { gitState } from './environment.ts';
import type { PreparedRun } from './prepare.ts';

/** Write them unless they are there; says which layers of determinism are at work. */
export function writeFacts(
  directory: RunDirectory,
  config: RunConfig,
  prepared: PreparedRun & { readonly input: string },
): void {
  const environment = environmentOf(prepared);
  const say = (line: string) => prepared.progress.say(line);
  say(`determinism ${config.determinism}: ${describeLayers(environment)}`);
  const files = {
    'config.input.yaml': prepared.input,
    'config.resolved.yaml': configToYaml(config, prepared.prepared.form),
    'plan.json': `${JSON.stringify({ ...prepared.plan, guessed: guessedSettings(config) }, null, 2)}\n`,
    'environment.json': `${JSON.stringify(environment, null, 2)}\n`,
  };
  for (const [name, text] of Object.entries(files)) keepFact(directory, { name, text, say });
}

function environmentOf({ status, model }: PreparedRun): EnvironmentRecord {
  const { versions, threads, determinism, deviceName } = status;
  return {
    versions,
    device: deviceName,
    threads,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    determinism: { ...determinism, strict_sampling: String(model.strictSampling) },
    git: gitState(),
    notes: model.notes,
  };
}
