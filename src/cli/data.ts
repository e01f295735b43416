import { type Command, Option } from 'commander';
import { loadRun } from '../config/import-method.ts';
import { describeDataset } from '../data/dataset.ts';
import type { Example, Message } from '../data/example.ts';
import { type ExampleIndex, indexExamples } from '../data/example-index.ts';
import { ExampleReader } from '../data/example-reader.ts';
import { seekableFile } from '../data/open-file.ts';
import { UsageError } from '../errors.ts';
import { formatNames, formatOf } from '../files/data-format.ts';
import { tmsHome } from '../python/paths.ts';
import { openStore } from '../store/store.ts';
import { collect, integerFrom } from './arguments.ts';
import { addCountdownCommand } from './data-countdown.ts';
import { diagnoseData } from './data-doctor.ts';
import { exampleLines, tokenLines } from './data-example.ts';
import { readTokens, type ShowRequest } from './data-tokens.ts';
import type { CliContext, Terminal } from './terminal.ts';

interface ShowFlags {
  set?: string[];
  number: number;
  split?: 'train' | 'test';
  example?: string;
  tokens?: boolean;
  json?: boolean;
}

/** `tms data show`: what a run would learn from, token by token. */
export function addDataCommands(program: Command, context: CliContext): void {
  const group = program
    .command('data')
    .summary('see what a run would learn from, and what is wrong with it')
    .description('See what a run would learn from, and what is wrong with it.');
  addCountdownCommand(group, context);
  group
    .command('show')
    .summary('what was recognised, and examples token by token with the loss mask')
    .description(
      'Print what a run would find in its data (shape, counts, what is dropped) and some examples as the model meets ' +
        'them, with its own tokenizer and chat template. Learned tokens are coloured, or in [brackets] without colours; ' +
        'the prompt is only read. For a data file instead of a configuration: shape, counts and plain text.',
    )
    .argument('<file>', `configuration (YAML), or a data file: ${formatNames}`)
    .option('--set <key=value>', 'override a key of the configuration (can be repeated)', collect)
    .option('-n, --number <count>', 'examples to print', integerFrom(0, 10_000), 3)
    .addOption(new Option('--split <name>', 'which examples (default: train)').choices(['train', 'test']))
    .option('--example <id>', 'print the one whose id begins so')
    .option('--tokens', 'print one line a token, with ids')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', examples)
    .action((file: string, flags: ShowFlags) =>
      formatOf(file) === null ? showConfigured(file, flags, context) : showFile(file, flags, context),
    );
  addDoctor(group, context);
}

function addDoctor(group: Command, context: CliContext): void {
  group
    .command('doctor')
    .summary('what is wrong with the training examples')
    .description(
      'Look through all training examples of a configuration as the model meets them: lengths and what max_length cuts, ends that are not learned, examples of which ' +
        'nothing is learned, repetitions, prompts with several answers, test examples that are trained on, and items of evaluation sets that stand in the training data.',
    )
    .argument('<file>', 'configuration (YAML)')
    .option('--set <key=value>', 'override a key of the configuration (can be repeated)', collect)
    .option('--json', 'print everything as JSON')
    .action((file: string, flags: { set?: string[]; json?: boolean }) => diagnoseData(file, flags, context));
}

const examples = `
Examples:
  $ npx tms data show my.yaml
  $ npx tms data show my.yaml --split test -n 1 --tokens
  $ npx tms data show my.yaml --set columns.prompt=question --set as_chat=true
  $ npx tms data show train.jsonl`;

async function showConfigured(file: string, flags: ShowFlags, context: CliContext): Promise<void> {
  const { terminal } = context;
  const request: ShowRequest = { count: flags.number, split: flags.split ?? null, id: flags.example ?? null };
  const { config } = await loadRun(file, flags.set);
  const found = await readTokens(config, request, context, line => {
    if (flags.json) terminal.note(line);
    else terminal.print(line);
  });
  if (flags.json) return terminal.print(JSON.stringify(found, null, 2));
  const { trainTokens, trainPromptTokens, learnedTokens } = found.tokens;
  terminal.print(
    `training tokens: ${trainTokens} (${trainPromptTokens} of prompts, ${learnedTokens} learned); ` +
      `the longest example has ${found.tokens.longest}, max_length is ${found.tokens.maxLength}`,
  );
  for (const example of found.examples)
    for (const line of ['', ...(flags.tokens ? tokenLines : exampleLines)(example, terminal)])
      terminal.print(line);
}

/** A data file alone: there is no tokenizer to ask. */
async function showFile(file: string, flags: ShowFlags, { terminal, env }: CliContext): Promise<void> {
  const unusable = (
    [
      ['--set', flags.set],
      ['--split', flags.split],
      ['--example', flags.example],
      ['--tokens', flags.tokens],
    ] as const
  ).flatMap(([name, isGiven]) => (isGiven ? [name] : []));
  if (unusable.length > 0) {
    throw new UsageError(`${unusable.join(' and ')} mean nothing for the data file ${file}`, {
      fix: 'name a configuration (YAML) whose dataset_name is this file',
    });
  }
  const options = {
    columns: { prompt: null, completion: null, messages: null, tools: null },
    as_chat: false,
    system_prompt: null,
    assistant_only_loss: false,
  };
  const seekable = await seekableFile(file, openStore(tmsHome(env)).cache);
  const index = await indexExamples(seekable, { ...options, duplicates: 'keep' });
  const reader = await ExampleReader.open(index, options);
  try {
    const read = await reader.readRange(0, Math.min(flags.number, index.count));
    const { source, shape, count, counts, digest } = index;
    const record = { source, shape, count, counts, digest, examples: read };
    if (flags.json) terminal.print(JSON.stringify(record, null, 2));
    else printFile(index, read, terminal);
  } finally {
    await reader.close();
  }
}

function printFile(index: ExampleIndex, read: readonly Example[], terminal: Terminal): void {
  const all = { index, rows: new Uint32Array() };
  terminal.print(describeDataset({ train: all, test: all })[0] ?? '');
  for (const { prompt, completion } of read) {
    terminal.print('');
    printContent('prompt', prompt, terminal);
    if (completion !== null) printContent('completion', completion, terminal);
  }
}

function printContent(name: string, content: Example['prompt'], terminal: Terminal): void {
  const parts: Message[] = typeof content === 'string' ? [{ role: name, content }] : content;
  for (const { role, content: said, fields } of parts) {
    const text = [said ?? '', fields ?? ''].filter(part => part !== '').join(' ');
    terminal.print(`  ${terminal.paint('dim', `${role}:`)} ${text.replaceAll('\n', '\n  ')}`);
  }
}
