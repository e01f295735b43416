import { mkdtempSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { changedSettings, describeChange } from '../config/changed-settings.ts';
import { importMethod, loadRun, methodIn } from '../config/import-method.ts';
import type { RunConfig } from '../config/schema.ts';
import { UnmetError, UsageError } from '../errors.ts';
import { readUserText } from '../files/user-file.ts';
import { describeLayers } from '../run/determinism-layers.ts';
import type { RunRecord } from '../run/records.ts';
import type { Artefact } from '../runner/compare-runs.ts';
import { refuseOccupied } from '../runner/execute.ts';
import { refuseOtherMethod } from '../runner/resume.ts';
import { recordedNumerics, refuseUnrepeatable, type Verification, verifyRun } from '../runner/verify.ts';
import { collect } from './arguments.ts';
import type { CliContext } from './terminal.ts';
import { withStoppableWorker } from './with-worker.ts';

interface VerifyFlags {
  set?: string[];
  into?: string;
  json?: boolean;
}

/** `tms verify`: whether a run gives the same again. */
export function addVerifyCommand(program: Command, context: CliContext): void {
  program
    .command('verify')
    .summary('repeat a finished run, and compare what it left')
    .description(
      'Repeat a finished run from its own record (its configuration, seed and day; base model, data and evaluation sets must be ' +
        'those that it began with) in a fresh directory with a fresh store, so that nothing is taken over, and compare weights by ' +
        'their digests and files by their bytes. On a CPU with determinism strict, which is the default there, all must be the same.',
    )
    .argument('<dir>', 'output_dir of the run')
    .option(
      '--into <dir>',
      'where the repetition goes, and stays; by default beside the run, removed where all is the same',
    )
    .option(
      '--set <key=value>',
      'change a key that changes no result but for its last bits, e.g. worker.device=cpu (can be repeated)',
      collect,
      [],
    )
    .option('--json', 'print every artefact as JSON')
    .addHelpText('after', verifyExamples)
    .action((directory: string, flags: VerifyFlags) => verify(directory, flags, context));
}

const verifyExamples = `
Exits with 0 where everything is the same, with 2 where something is not: the first that differs, in the order in which the
run made them, is named with what differs in it.

Examples:
  $ npx tms verify runs/quickstart
  $ npx tms verify runs/quickstart --into runs/again --json`;

async function verify(directory: string, flags: VerifyFlags, context: CliContext): Promise<void> {
  const record = refuseUnrepeatable(directory);
  if (flags.into !== undefined) refuseOccupied(join(flags.into, 'run'), false);
  const into =
    flags.into ?? mkdtempSync(join(dirname(resolve(directory)), `.${basename(resolve(directory))}-verify-`));
  let isKept = flags.into !== undefined;
  try {
    const found = await repeat(directory, { record, into, sets: flags.set ?? [] }, context);
    isKept ||= !found.artefacts.every(({ state }) => state === 'same');
    print(found, { directory, into, isJson: flags.json === true, record }, context);
  } finally {
    if (!isKept) rmSync(into, { recursive: true, force: true });
  }
}

type Repetition = { readonly record: RunRecord; readonly into: string; readonly sets: readonly string[] };

async function repeat(
  directory: string,
  { record, into, sets }: Repetition,
  context: CliContext,
): Promise<Verification> {
  const saved = join(directory, 'config.resolved.yaml');
  if (sets.some(text => text.trimStart().startsWith('output_dir')))
    throw new UsageError('--set output_dir means nothing here', { fix: 'say where: --into DIR' });
  const method = methodIn(readUserText(saved, 'the configuration'), saved);
  await importMethod(method);
  refuseOtherMethod(directory, method);
  const output = join(into, 'run');
  const all = [...recordedNumerics(record), ...sets, `output_dir=${JSON.stringify(output)}`];
  const { config, input } = await loadRun(saved, all);
  await refuseOtherResults(directory, config, saved);
  const found: Verification[] = [];
  await withStoppableWorker(
    config,
    context,
    at =>
      verifyRun(directory, config, { ...at, home: join(into, 'home'), input, tmsVersion: context.version }),
    async result => void found.push(result),
  );
  return found[0] as Verification;
}

/** Another run would prove nothing of this one. */
async function refuseOtherResults(directory: string, repeated: RunConfig, saved: string): Promise<void> {
  const { config } = await loadRun(saved, [`output_dir=${JSON.stringify(repeated.output_dir)}`]);
  const changed = changedSettings(config, repeated).filter(({ affects }) => affects === 'result');
  if (changed.length > 0)
    throw new UsageError(`${directory} cannot be repeated with ${changed.map(describeChange).join('; ')}`, {
      fix: 'leave that --set out: a repetition may differ in keys that change no result',
    });
}

type Printed = Pick<Repetition, 'record' | 'into'> & { readonly directory: string; readonly isJson: boolean };

/** Throws `UnmetError` that names the first artefact that is not the same. */
function print(found: Verification, of: Printed, { terminal }: CliContext): void {
  const { directory, isJson, record } = of;
  const { artefacts, changed } = found;
  if (isJson) terminal.print(JSON.stringify({ run: directory, id: record.id, changed, artefacts }, null, 2));
  else for (const line of verificationText(found, directory)) terminal.print(line);
  const others = artefacts.filter(({ state }) => state !== 'same');
  const [first] = others;
  if (first === undefined) return;
  throw new UnmetError(
    `${directory} did not give the same again: ${others.length} of ${artefacts.length} artefacts are not the same; the first is ${artefactText(first)}`,
    {
      fix: `compare the two: npx tms compare ${directory} ${join(of.into, 'run')}; ${promiseText(found, record)}`,
    },
  );
}

function verificationText({ artefacts, changed, environment }: Verification, directory: string): string[] {
  const isSame = artefacts.every(({ state }) => state === 'same');
  return [
    ...artefacts.map(artefactText),
    '',
    ...(environment === null ? [] : [`determinism  ${describeLayers(environment)}`]),
    ...changed.map(change => `otherwise    ${change}`),
    ...(isSame ? [`verified     all ${artefacts.length} artefacts of ${directory} are the same`] : []),
  ];
}

function promiseText({ changed }: Verification, { numerics }: RunRecord): string {
  const isStrict = numerics.at(-1)?.values['strict sampling'] === true;
  if (isStrict && changed.length === 0) return 'the same was promised here, so please report it';
  return `the same bits were not promised here (${changed[0] ?? 'sampling is not strict'})`;
}

function artefactText({ name, state, found }: Artefact): string {
  return `${state.padEnd(8)} ${name}${found === null ? '' : `: ${found}`}`;
}
