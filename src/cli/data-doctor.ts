import { loadRun } from '../config/import-method.ts';
import { type Diagnosis, diagnose, findings, type Spread } from '../data/diagnosis.ts';
import { tmsHome } from '../python/paths.ts';
import { openStore } from '../store/store.ts';
import { findContamination } from './data-overlaps.ts';
import { withPreparedData } from './data-tokens.ts';
import type { CliContext } from './terminal.ts';

/** `tms data doctor`: what is wrong with the training examples of a configuration. */
export async function diagnoseData(
  file: string,
  { set, json }: { readonly set?: string[]; readonly json?: boolean },
  context: CliContext,
): Promise<void> {
  const { terminal } = context;
  const { config } = await loadRun(file, set);
  const say = (line: string) => (json ? terminal.note(line) : terminal.print(line));
  const { found, overlaps } = await withPreparedData(
    config,
    { context, say },
    async ({ dataset, train, stopIds }, _, local) => ({
      found: await diagnose(dataset, train.tokens, { maxLength: config.max_length, stopIds }),
      overlaps: await findContamination(local, dataset.train, openStore(tmsHome(context.env)).cache),
    }),
  );
  const problems = [...findings(found), ...overlaps];
  if (json) return terminal.print(JSON.stringify({ ...found, findings: problems }, null, 2));
  for (const line of describe(found)) terminal.print(line);
  for (const problem of problems) terminal.print(`${terminal.paint('yellow', 'look:')}    ${problem}`);
  if (problems.length === 0) terminal.print(`${terminal.paint('green', 'ok:')}      nothing to look at`);
}

function describe({ lengths, answers, learnedShare }: Diagnosis): string[] {
  return [
    `lengths  ${spread(lengths)} tokens`,
    `answers  ${spread(answers)} tokens; ${(100 * learnedShare).toFixed(1)} % of all tokens are learned`,
  ];
}

function spread({ shortest, median, usual, longest }: Spread): string {
  return `${shortest} to ${longest}, median ${median}, 95 of 100 at most ${usual}`;
}
