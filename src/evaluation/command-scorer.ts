/**
 * A scorer of the user's as a program. One run scores all answers of a set: for each it reads a JSON line
 * `{"id", "prompt", "gold", "record", "answer", "is_finished"}` and writes a line with a number from 0 to 1, in the same order.
 */
import { spawn } from 'node:child_process';
import { toJson } from '../data/json.ts';
import { TmsError, UsageError } from '../errors.ts';
import { digestOfCode, filesOfCommand } from '../files/code-files.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { AnsweredQuestion, Scorer } from './scorer.ts';

/** Of what the program is given and must write; raise it when that changes. */
const version = 1;

/** For all answers of a set together. */
const defaultTimeoutSeconds = 600;

const shownStderrLines = 20;

export type CommandOptions = {
  /** Files and folders that the program reads besides. */
  readonly inputs?: readonly string[];
  readonly timeoutSeconds?: number;
};

/** Program and arguments; files among them, what those lead to and `inputs` are part of the key. */
export function commandScorer(
  command: readonly string[],
  { inputs = [], timeoutSeconds = defaultTimeoutSeconds }: CommandOptions = {},
): Scorer {
  const digest = sha256OfRecord([command, digestOfCode(filesOfCommand(command), inputs)]);
  return {
    name: 'command',
    version,
    key: `command ${version} ${digest}`,
    problemOf: () => null,
    grade: async (answered, signal) => {
      const input = answered.map(lineOf).join('');
      const output = await run(command, input, { timeoutSeconds, signal });
      return scoresIn(output, answered, command).map(score => ({ score, extracted: null }));
    },
  };
}

function lineOf({ question, answer }: AnsweredQuestion): string {
  const { id, prompt, gold, record } = question;
  const { text, isFinished } = answer;
  return `${toJson({ id, prompt, gold, record, answer: text, is_finished: isFinished })}\n`;
}

type RunOptions = { readonly timeoutSeconds: number; readonly signal: AbortSignal | undefined };

function run(
  command: readonly string[],
  input: string,
  { timeoutSeconds, signal }: RunOptions,
): Promise<string> {
  signal?.throwIfAborted();
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    signal,
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {}); // the program may end without reading everything: its exit code and output decide
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', cause => reject(signal?.aborted ? signal.reason : startError(command, cause)));
    child.on('close', (code, killedBy) => {
      if (code === 0) resolve(stdout);
      else
        reject(
          failure(
            command,
            killedBy ? `was ended by ${killedBy}` : `ended with code ${code}`,
            stderr,
            timeoutSeconds,
          ),
        );
    });
  });
}

function startError(command: readonly string[], cause: Error): TmsError {
  return new UsageError(`the scorer ${show(command)} cannot be started: ${cause.message}`, {
    cause,
    fix: 'give the program and its arguments as a list, such as [python3, my_scorer.py]',
  });
}

function failure(command: readonly string[], how: string, stderr: string, timeoutSeconds: number): TmsError {
  const lines = stderr.trimEnd().split('\n').slice(-shownStderrLines);
  const said = stderr.trim() === '' ? 'it wrote nothing to stderr' : `it wrote:\n  ${lines.join('\n  ')}`;
  const limit = how.endsWith('SIGKILL') ? ` (its time limit is ${timeoutSeconds} s)` : '';
  return new TmsError(`the scorer ${show(command)} ${how}${limit}; ${said}`);
}

function scoresIn(
  output: string,
  answered: readonly AnsweredQuestion[],
  command: readonly string[],
): number[] {
  const lines = output.split('\n').filter(line => line.trim() !== '');
  if (lines.length !== answered.length) {
    throw new TmsError(
      `the scorer ${show(command)} wrote ${lines.length} lines for ${answered.length} answers`,
      { fix: 'write one number a line for every line read, and nothing else, to stdout' },
    );
  }
  return lines.map((line, i) => {
    const score = Number(line);
    if (score >= 0 && score <= 1) return score;
    throw new TmsError(
      `the scorer ${show(command)} wrote ${JSON.stringify(line)} in line ${i + 1}, for ${answered[i]?.question.id}`,
      { fix: 'a score is a number from 0 to 1' },
    );
  });
}

function show(command: readonly string[]): string {
  return `\`${command.join(' ')}\``;
}
