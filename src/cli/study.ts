import { resolve } from 'node:path';
import type { Command } from 'commander';
import { InterruptedError, TmsError, UnmetError, UsageError } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.ts';
import { tmsHome } from '../python/paths.ts';
import { duration } from '../report/format.ts';
import { junitXml } from '../report/junit.ts';
import { alignedTable } from '../report/table.ts';
import type { Study } from '../study/analysis.ts';
import { placeText } from '../study/cells.ts';
import { demandCases, unmetDemands } from '../study/demands.ts';
import { writeStudyPages } from '../study/pages.ts';
import type { Failure } from '../study/run-study.ts';
import { type OpenStudy, openStudy, runCells, studyOf, studyStatus } from '../study/study.ts';
import { collect, integerFrom, shellWord } from './arguments.ts';
import { listenForStop } from './interrupt.ts';
import { type CliContext, terminalProgress } from './terminal.ts';

interface StudyFlags {
  jobs?: number;
  set: string[];
  only: string[];
  expect?: string;
  junit?: string;
  json?: boolean;
  report?: boolean;
}

/** `tms study`: many runs with one question. */
export function addStudyCommands(program: Command, context: CliContext): void {
  const group = program
    .command('study')
    .summary('methods × recipes × seeds, compared with error bars')
    .description(
      'Run every combination that a study file names (methods, grid, replicates) as an ordinary run with a directory of its own and one ' +
        'shared store, some at once, and compare them with the replicates as the outer level of every interval: docs/study.md.',
    );
  group
    .command('run', { isDefault: true })
    .summary('run the cells that are not finished, and write the pages')
    .description(
      'Run the cells that are not finished, and write study.html, study.md and study.json. The word run may be left out. A study that ' +
        'was stopped or killed goes on with the same command; a cell that fails does not stop the others.',
    )
    .argument('<file>', 'study (YAML)')
    .option('--jobs <n>', 'runs at once, instead of jobs in the file', integerFrom(1, 1000))
    .option(
      '--only <text>',
      'only cells whose place has these parts, e.g. "SFT, seed 0"; repeated: and those, too',
      collect,
      [],
    )
    .option(
      '--set <key=value>',
      'a key of every run, after the set of the file; may be repeated',
      collect,
      [],
    )
    .option('--expect <file>', 'expectations (YAML): exit code 2 where one is not met')
    .option('--junit <file>', 'write expectations and what retention.max_drop demands of cells as JUnit XML')
    .option('--report', 'run nothing: write the pages of what has finished')
    .option('--json', 'print study.json')
    .addHelpText('after', studyExamples)
    .action((file: string, flags: StudyFlags) => study(file, flags, context));
  group
    .command('status')
    .summary('which cells of a study are finished')
    .description('Print what became of every cell of a study, also while it runs. Needs no Python.')
    .argument('<dir>', 'output_dir of the study')
    .option('--json', 'print JSON')
    .action((directory: string, flags: { json?: boolean }) => status(directory, flags, context));
}

const studyExamples = `
Exits with 0; with 1 where a cell failed; with 2 where an expectation is not met or a cell exceeds its retention.max_drop.

Examples:
  $ npx tms study configs/lab/study.yaml --only "base 1" --jobs 2
  $ npx tms study configs/lab/study.yaml --expect configs/lab/expected.yaml
  $ npx tms study status runs/lab-study`;

async function study(file: string, flags: StudyFlags, context: CliContext): Promise<void> {
  const { terminal } = context;
  const { jobs = null, set: sets, only, expect = null } = flags;
  const opened = await openStudy(file, { jobs, sets, only, expect });
  if (flags.junit !== undefined) refuseIdleJunit(opened);
  let failures: readonly Failure[] = [];
  try {
    if (flags.report !== true) failures = await run(opened, context);
  } catch (error) {
    if (error instanceof InterruptedError) await write(opened, { file, flags }, context);
    throw error;
  }
  const found = await write(opened, { file, flags }, context);
  if (flags.json) terminal.print(JSON.stringify(found, null, 2));
  if (flags.junit !== undefined)
    writeFileAtomic(resolve(flags.junit), junitXml(found.name, demandCases(found)));
  refuseFailures(failures, opened);
  refuseUnmet(found);
}

async function run(opened: OpenStudy, { terminal, env, version }: CliContext): Promise<Failure[]> {
  terminal.goOnUnread();
  const progress = terminalProgress(terminal);
  const stop = listenForStop(line => progress.say(line), env);
  const { cells, jobs, file } = opened;
  progress.say(`${file.output_dir}: ${cells.length} cells, ${jobs} at once`);
  try {
    const surroundings = { home: tmsHome(env), progress, signal: stop.signal, tmsVersion: version };
    return await runCells(opened, surroundings);
  } finally {
    progress.clear();
    stop.release();
  }
}

async function write(
  opened: OpenStudy,
  { file, flags }: { readonly file: string; readonly flags: StudyFlags },
  { terminal, version }: CliContext,
): Promise<Study> {
  const expected = flags.expect === undefined ? [] : ['--expect', flags.expect];
  const sets = flags.set.flatMap(text => ['--set', shellWord(text)]);
  const only = flags.only.flatMap(text => ['--only', shellWord(text)]);
  const command = ['npx tms study', file, ...sets, ...only, ...expected].join(' ');
  const found = await studyOf(opened, { command, tmsVersion: version });
  const { html, markdown } = writeStudyPages(opened.file.output_dir, found);
  if (flags.json) return found;
  for (const caution of found.cautions) terminal.print(`Caution: ${caution}`);
  for (const line of claimLines(found)) terminal.print(line);
  terminal.print(`study  ${html}\n       ${markdown}`);
  return found;
}

function claimLines({ claims, expectations }: Study): string[] {
  const met = (expectations ?? []).map(one => [`expected: ${one.expect}`, one.isMet ? 'met' : 'NOT met']);
  const rows = [...claims.map(({ claim, verdict }) => [claim, verdict]), ...met];
  return rows.length === 0 ? [] : [...alignedTable([['', ''], ...rows]).slice(1), ''];
}

/** Before anything is trained. */
function refuseIdleJunit({ cells, expectations }: OpenStudy): void {
  if (expectations !== null || cells.some(({ config }) => config.retention.max_drop !== null)) return;
  throw new UsageError(
    '--junit has nothing to say: there is no --expect, and no cell has a retention.max_drop',
    {
      fix: 'say what is demanded: --expect FILE, or set: { retention.max_drop: 0.05 } in the study',
    },
  );
}

function refuseFailures(failures: readonly Failure[], { cells, file }: OpenStudy): void {
  if (failures.length === 0) return;
  const names = failures.map(({ cell, message }) => `\n  ${placeText(cell)}: ${message}`).join('');
  throw new TmsError(`${failures.length} of ${cells.length} cells of ${file.output_dir} failed:${names}`, {
    fix: 'read the log beside the directory of each; the same command runs them again, and no finished one',
  });
}

function refuseUnmet(found: Study): void {
  const texts = unmetDemands(found);
  if (texts.length === 0) return;
  throw new UnmetError(`what was demanded does not hold:\n  ${texts.join('\n  ')}`, {
    fix: 'the study is finished and its files are whole; study.html has the numbers of every replicate',
  });
}

function status(directory: string, { json }: { json?: boolean }, { terminal }: CliContext): void {
  const cells = studyStatus(directory);
  if (json) {
    terminal.print(JSON.stringify(cells, null, 2));
    return;
  }
  const begun = cells.filter(({ state }) => state.status !== 'waiting');
  const rows = begun.map(({ state, ...cell }) => [
    placeText(cell),
    state.status,
    state.seconds === null ? '' : duration(state.seconds),
    state.note ?? '',
  ]);
  for (const line of rows.length === 0 ? [] : alignedTable([['cell', 'status', 'time', ''], ...rows]))
    terminal.print(line);
  const finished = begun.filter(({ state }) => state.status === 'finished').length;
  terminal.print(
    `${finished} of ${cells.length} cells are finished, ${cells.length - begun.length} are waiting`,
  );
}
