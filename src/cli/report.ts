import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { compareResults, comparisonMarkdown, comparisonRecord, comparisonText } from '../report/compare.ts';
import { gateOf } from '../report/gate.ts';
import { valueAt } from '../report/points.ts';
import { readResults } from '../report/results.ts';
import { analyse } from '../report/rows.ts';
import { summaryRecord } from '../report/summary.ts';
import { finalTable } from '../report/table.ts';
import { writeReport } from '../report/write-report.ts';
import { holdToGate, junitOption, refuseIdleJunit } from './gate.ts';
import type { CliContext } from './terminal.ts';

/** `tms report` and `tms compare`: what runs have measured, read from their directories. */
export function addReportCommands(program: Command, context: CliContext): void {
  program
    .command('report')
    .summary('write the report of a run again')
    .description(
      'Write report.html, report.md and report.json of a run, finished or not, from what its directory holds; print its table. ' +
        'Needs no Python.',
    )
    .argument('<dir>', 'output_dir of the run')
    .option('--open', 'show the page in a browser')
    .option('--json', 'print report.json instead of the table')
    .option(...junitOption)
    .addHelpText('after', reportExamples)
    .action((directory: string, flags: ReportFlags) => report(directory, flags, context));
  program
    .command('compare')
    .summary('two or more runs side by side')
    .description(
      'Print the rows of several runs, how the later ones differ from the first on the same items, and which ' +
        'settings differ. Needs no Python.',
    )
    .argument('<dirs...>', 'output_dir of each run')
    .option('--markdown', 'print Markdown')
    .option('--json', 'print JSON')
    .addHelpText('after', compareExamples)
    .action((directories: string[], flags: CompareFlags) => compare(directories, flags, context));
}

interface ReportFlags {
  open?: boolean;
  json?: boolean;
  junit?: string;
}

interface CompareFlags {
  markdown?: boolean;
  json?: boolean;
}

const reportExamples = `
Examples:
  $ npx tms report runs/quickstart
  $ npx tms report runs/quickstart --open
  $ npx tms report runs/quickstart --json | jq .gate
Exits with 2 where retention.max_drop is exceeded, as tms run does.`;

const compareExamples = `
Examples:
  $ npx tms compare runs/a25 runs/a50
  $ npx tms compare runs/a* --markdown > comparison.md`;

async function report(
  directory: string,
  { open, json, junit }: ReportFlags,
  { terminal }: CliContext,
): Promise<void> {
  requireRun(directory);
  const results = await readResults(directory);
  const fix = `say what is demanded: npx tms resume ${directory} --set retention.max_drop=0.05`;
  refuseIdleJunit(junit, valueAt(results.config, ['retention', 'max_drop']), fix);
  const { html, markdown } = await writeReport(directory);
  const analysis = analyse(results);
  if (json) terminal.print(JSON.stringify(summaryRecord(analysis), null, 2));
  else {
    for (const line of finalTable(results)) terminal.print(line);
    terminal.print(`\nreport  ${html}\n        ${markdown}`);
  }
  if (open && !(await openPage(html)))
    terminal.note(`note: no browser could be started; open ${html} yourself`);
  holdToGate(gateOf(analysis), { name: results.name, junit });
}

async function compare(
  directories: string[],
  { markdown, json }: CompareFlags,
  { terminal }: CliContext,
): Promise<void> {
  directories.forEach(requireRun);
  const comparison = compareResults(await Promise.all(directories.map(readResults)));
  if (json) return terminal.print(JSON.stringify(comparisonRecord(comparison), null, 2));
  for (const line of markdown ? comparisonMarkdown(comparison) : comparisonText(comparison))
    terminal.print(line);
}

function requireRun(directory: string): void {
  if (existsSync(join(directory, 'run.json'))) return;
  const what = existsSync(directory) ? 'holds no run: there is no run.json in it' : 'does not exist';
  throw new UsageError(`${directory} ${what}`, { fix: 'name the output_dir of a run' });
}

/** False where there is no program for that. */
async function openPage(path: string): Promise<boolean> {
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(opener, [path], { detached: true, stdio: 'ignore' });
  child.unref();
  try {
    await once(child, 'spawn');
    return true;
  } catch {
    return false;
  }
}
