import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { isMissing, readUserText } from '../files/user-file.ts';
import { findResultModel } from '../run/trainings.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import { startWorker } from '../worker/start.ts';
import { integerFrom, numberWithin, textsWithEscapes } from './arguments.ts';
import { type AnswerOptions, answerPrompts, type PromptAnswer } from './generate-answers.ts';
import type { CliContext, Terminal } from './terminal.ts';

interface GenerateFlags {
  temperature: number;
  topP: number;
  maxNewTokens: number;
  stop: string[];
  seed: number;
  number: number;
  chat?: boolean;
  system?: string;
  device: string;
  file?: string;
  json?: boolean;
}

/** `tms generate`: ask a model something. */
export function addGenerateCommand(program: Command, context: CliContext): void {
  program
    .command('generate')
    .summary('try a model: print its answers')
    .description(
      'Print answers of a model: a directory in Hugging Face layout (such as models/NAME of a run), a LoRA ' +
        'directory, or a hub id. Prompts come from the command line, a file, standard input, or, in a terminal, one ' +
        'after another as you type. The same prompt, options and seed give the same answer again.',
    )
    .argument('<model>', 'directory or hub id')
    .argument('[prompts...]', 'prompts; none: standard input, one prompt a line')
    .option('--file <path>', 'read prompts from a file, one a line')
    .option('--temperature <number>', '0 takes the likeliest token', numberWithin({ from: 0 }), 1)
    .option(
      '--top-p <number>',
      'sample from the likeliest tokens with this much probability',
      numberWithin({ above: 0, to: 1 }),
      1,
    )
    .option('--max-new-tokens <count>', 'cut answers there', integerFrom(1), 128)
    .option(
      '--stop <text>',
      'end an answer before this text; \\n is a line break (can be repeated)',
      textsWithEscapes,
      [],
    )
    .option(
      '--seed <number>',
      'seed of the first answer; the next ones count up',
      integerFrom(0, 2 ** 32 - 1),
      0,
    )
    .option('-n, --number <count>', 'answers to each prompt', integerFrom(1, 1000), 1)
    .option('--chat', 'ask by the chat template (default: where the model has one)')
    .option('--no-chat', 'give the prompt to the model as it stands')
    .option('--system <text>', 'system message before each prompt')
    .option('--device <name>', 'cpu, cuda, cuda:1, …; auto: a GPU where there is one', 'auto')
    .option('--json', 'print one JSON record an answer')
    .addHelpText('after', examples)
    .action((model: string, prompts: string[], flags: GenerateFlags) =>
      generate(model, prompts, flags, context),
    );
}

const examples = `
Each prompt is asked by itself: nothing is remembered from one to the next.

Examples:
  $ npx tms generate runs/my/models/NAME "12+7="                  # tms run prints this line for its result
  $ npx tms generate runs/my/models/NAME --system "Be brief." -n 3 "Why is the sky blue?"
  $ npx tms generate HuggingFaceTB/SmolLM2-135M-Instruct          # type prompts, end with Ctrl-D
  $ npx tms generate runs/my/models/NAME --file prompts.txt --temperature 0 --json > answers.jsonl`;

async function generate(
  model: string,
  given: string[],
  flags: GenerateFlags,
  context: CliContext,
): Promise<void> {
  const { terminal } = context;
  checkModel(model);
  const prompts = await readPrompts(given, flags);
  if (terminal.isInteractive) terminal.note(`loading ${model} …`);
  const worker = await startWorker({ report: line => terminal.note(line) });
  try {
    const info = await worker.load({ model, device: flags.device, seed: flags.seed });
    for (const note of info.notes) terminal.note(`note: ${note}`);
    const options = answerOptions(info, flags);
    const ask = async (asked: readonly string[], signal?: AbortSignal) => {
      const answers = await answerPrompts(worker, asked, { ...options, ...(signal && { signal }) });
      printAnswers(answers, { ...flags, terminal, hasSeveralPrompts: asked.length > 1 });
    };
    if (prompts === null) await converse(ask, terminal);
    else await ask(prompts);
  } finally {
    await worker.close();
  }
}

/** What needs no worker to be seen; `command` is the one that is tried again. */
export function checkModel(model: string, command: 'generate' | 'eval' = 'generate'): void {
  if (existsSync(join(model, 'run.json'))) {
    const found = findResultModel(model);
    const fix = found === null ? 'it has no finished model yet' : `npx tms ${command} ${found.path}`;
    throw new UsageError(`${model} is the directory of a run, not of a model`, { fix });
  }
  if (isMissing(model)) {
    throw new UsageError(`there is no model at ${model}`, {
      fix: 'give the directory that holds config.json, or a hub id',
    });
  }
}

/** Null: somebody types them. */
async function readPrompts(
  given: readonly string[],
  { file }: GenerateFlags,
): Promise<readonly string[] | null> {
  if (file !== undefined && given.length > 0)
    throw new UsageError('prompts are given and --file as well', { fix: 'leave one of them out' });
  if (given.length > 0) return given;
  if (file === undefined && process.stdin.isTTY) return null;
  const prompts = (file === undefined ? await text(process.stdin) : readUserText(file, 'the prompts'))
    .split(/\r?\n/)
    .filter(line => line.trim() !== '');
  if (prompts.length > 0) return prompts;
  throw new UsageError(`there is no prompt in ${file ?? 'standard input'}`, {
    fix: 'give one: npx tms generate MODEL "PROMPT"',
  });
}

function answerOptions(model: ModelInfo, flags: GenerateFlags): AnswerOptions {
  const isChat = flags.chat ?? model.hasChatTemplate;
  if (isChat && !model.hasChatTemplate)
    throw new UsageError('the model has no chat template', { fix: 'leave --chat out' });
  if (!isChat && flags.system !== undefined) {
    throw new UsageError('--system needs a chat template, and none is used', {
      fix: 'put it into the prompt',
    });
  }
  return {
    ...flags,
    stopTexts: flags.stop,
    isChat,
    system: flags.system ?? null,
    maxPositions: model.maxPositions,
    eosTokenIds: model.eosTokenIds,
  };
}

/** Until the end of input. Ctrl-C breaks off an answer; where there is none, it ends. */
async function converse(
  ask: (prompts: string[], signal: AbortSignal) => Promise<void>,
  terminal: Terminal,
): Promise<void> {
  const input = createInterface({
    input: process.stdin,
    output: process.stderr,
    prompt: '> ',
  });
  let answering: AbortController | null = null;
  input.on('SIGINT', () => (answering === null ? input.close() : answering.abort()));
  terminal.note('type a prompt; Ctrl-D ends');
  input.prompt();
  for await (const line of input) {
    answering = new AbortController();
    if (line.trim() !== '')
      await askOrBreakOff(
        () => ask([line], answering?.signal ?? AbortSignal.abort()),
        answering.signal,
        terminal,
      );
    answering = null;
    input.prompt();
  }
}

async function askOrBreakOff(
  ask: () => Promise<void>,
  signal: AbortSignal,
  terminal: Terminal,
): Promise<void> {
  try {
    await ask();
  } catch (error) {
    // A prompt that is too long, too, is no reason to load the model again.
    if (signal.aborted) terminal.note('broken off');
    else if (error instanceof UsageError) terminal.note(`error: ${error.message}`);
    else throw error;
  }
}

type Printing = GenerateFlags & { readonly hasSeveralPrompts: boolean; readonly terminal: Terminal };

function printAnswers(answers: readonly PromptAnswer[], printing: Printing): void {
  for (const [i, answer] of answers.entries()) printAnswer(answer, i, printing);
}

function printAnswer(answered: PromptAnswer, i: number, { terminal, ...flags }: Printing): void {
  if (flags.json) {
    terminal.print(JSON.stringify(answered));
    return;
  }
  const { prompt, answer, tokens, finishReason, seed } = answered;
  const isFirst = i % flags.number === 0;
  if (flags.hasSeveralPrompts && isFirst)
    terminal.print(terminal.paint('bold', `${i === 0 ? '' : '\n'}> ${prompt}`));
  if (flags.number > 1) terminal.print(terminal.paint('dim', `[seed ${seed}]`));
  terminal.print(answer);
  if (finishReason === 'length') terminal.note(`(cut at ${tokens} tokens)`);
}
