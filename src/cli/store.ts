import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { formatBytes } from '../plan/describe.ts';
import { tmsHome } from '../python/paths.ts';
import { describeItem } from '../store/describe-item.ts';
import { whileUnused } from '../store/in-use.ts';
import { itemsToPrune, type PruneRules } from '../store/prune.ts';
import {
  listStore,
  openStore,
  removeFromStore,
  type Store,
  type StoreItem,
  storeOf,
} from '../store/store.ts';
import { byteCount, duration } from './arguments.ts';
import type { CliContext, Terminal } from './terminal.ts';

interface PruneFlags {
  olderThan?: number;
  keepBytes?: number;
  all?: boolean;
  dryRun?: boolean;
  yes?: boolean;
}

/** `tms store ls` and `tms store prune`: what runs share. */
export function addStoreCommands(program: Command, context: CliContext): void {
  const group = program
    .command('store')
    .summary('what runs share on disk: list it, make room')
    .description(
      'The store (TMS_HOME/store) keeps checkpoints of trainings, sampled answers and evaluations, and TMS_HOME/cache token ' +
        'ids of data sets, so that another run need not make them again. Nothing in it is needed by a finished run: its models and report are its own.',
    );
  group
    .command('ls')
    .summary('list what is in the store')
    .description(
      'List what is in the store, the longest unused first: size, last use and what it stands for.',
    )
    .option('--json', 'print the list as JSON')
    .addHelpText('after', listExamples)
    .action((flags: { json?: boolean }) => list(flags, context));
  group
    .command('prune')
    .summary('remove what was not used for long')
    .description(
      'Remove items from the store by one or more rules, the longest unused first. Later runs that would have used ' +
        'them do the work again. Refused while a run uses the store.',
    )
    .option('--older-than <time>', 'remove what was not used for so long: 90m, 12h, 30d, 4w', duration)
    .option('--keep-bytes <size>', 'remove until the rest takes at most this: 500M, 20G', byteCount)
    .option('--all', 'remove everything')
    .option('--dry-run', 'print what would be removed, and stop')
    .option('--yes', 'do not ask')
    .addHelpText('after', pruneExamples)
    .action((flags: PruneFlags) => prune(flags, context));
}

const listExamples = `
Examples:
  $ npx tms store ls
  $ npx tms store ls --json | jq '[.items[].bytes] | add'`;

const pruneExamples = `
Exits with 0 also when nothing had to go, with 3 when a run or another
prune uses the store.

Examples:
  $ npx tms store prune --older-than 30d --dry-run
  $ npx tms store prune --keep-bytes 20G --yes     # in a script`;

async function list({ json }: { json?: boolean }, { terminal, env }: CliContext): Promise<void> {
  const { store, items } = readStore(env);
  const described = await Promise.all(
    items.map(async item => ({ ...item, what: await describeItem(store, item) })),
  );
  if (json) return terminal.print(JSON.stringify({ root: store.root, items: described }, null, 2));
  if (items.length > 0) printItems(described, terminal);
  terminal.print(`${summary(items)} in ${store.root}`);
}

async function prune(flags: PruneFlags, { terminal, env }: CliContext): Promise<void> {
  const { store, items } = readStore(env);
  const going = itemsToPrune(items, rulesOf(flags));
  if (going.length === 0) return terminal.print(`nothing to remove: ${summary(items)} in ${store.root}`);
  if (flags.dryRun) {
    printItems(
      await Promise.all(going.map(async item => ({ ...item, what: await describeItem(store, item) }))),
      terminal,
    );
    return terminal.print(`would remove ${summary(going)} of ${summary(items)}`);
  }
  if (!flags.yes && !(await confirm(`remove ${summary(going)} of ${summary(items)}?`)))
    return terminal.print('nothing was removed');
  const removed = whileUnused(store, () => removeUnchanged(store, going));
  terminal.print(`removed ${summary(removed)}; ${summary(listStore(store))} are left`);
}

/** What was used since it was listed stays. */
function removeUnchanged(store: Store, going: readonly StoreItem[]): StoreItem[] {
  const now = new Map(listStore(store).map(({ path, usedAt }) => [path, usedAt.getTime()]));
  const removed = going.filter(({ path, usedAt }) => now.get(path) === usedAt.getTime());
  for (const item of removed) removeFromStore(item);
  return removed;
}

function rulesOf({ olderThan, keepBytes, all = false }: PruneFlags): PruneRules {
  if (!all && olderThan === undefined && keepBytes === undefined) {
    throw new UsageError('tms store prune was not told what to remove', {
      fix: 'add --older-than 30d, --keep-bytes 20G or --all',
    });
  }
  return {
    all,
    unusedSince: olderThan === undefined ? null : new Date(Date.now() - 1000 * olderThan),
    keepBytes: keepBytes ?? null,
  };
}

/** A store that no run has made yet is not made here either. */
function readStore(env: NodeJS.ProcessEnv): { store: Store; items: StoreItem[] } {
  const home = tmsHome(env);
  const { root, cache } = storeOf(home);
  if (!existsSync(root) && !existsSync(cache)) return { store: { root, cache }, items: [] };
  const store = openStore(home);
  return { store, items: listStore(store) };
}

async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError(
      `to ${question.slice(0, -1)}, somebody must agree, and there is no terminal to ask`,
      {
        fix: 'add --yes',
      },
    );
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question(`${question} [y/N] `)).trim());
  } finally {
    asking.close();
  }
}

type DescribedItem = StoreItem & { readonly what: string };

function printItems(items: readonly DescribedItem[], terminal: Terminal): void {
  terminal.print(
    terminal.paint(
      'bold',
      `${'kind'.padEnd(11)}  ${'name'.padEnd(12)}  ${'size'.padStart(7)}  ${'last use'.padEnd(16)}  what`,
    ),
  );
  for (const { kind, name, bytes, usedAt, what } of items)
    terminal.print(
      `${kind.padEnd(11)}  ${name.slice(0, 12).padEnd(12)}  ${formatBytes(bytes).padStart(7)}  ${localTime(usedAt)}  ${what}`,
    );
}

/** 2026-07-31 14:02, as `ls --time-style=long-iso`. */
function localTime(time: Date): string {
  const pad = (value: number) => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  return `${day} ${pad(time.getHours())}:${pad(time.getMinutes())}`;
}

function summary(items: readonly StoreItem[]): string {
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return `${items.length} item${items.length === 1 ? '' : 's'} (${formatBytes(bytes)})`;
}
