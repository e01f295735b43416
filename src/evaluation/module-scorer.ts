/**
 * A scorer of the user's as a JavaScript file that exports
 *
 *     score(question, answer, { isFinished }) → number from 0 to 1, boolean, or a promise of one
 *
 * with `question` = { id, prompt, gold, record } and `answer` the text; `record` has plain JavaScript values, `gold` the digits of the file. It may export `version`, a whole number.
 */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withDoubles } from '../data/json.ts';
import type { DataRecord } from '../data/template.ts';
import { TmsError, UsageError } from '../errors.ts';
import { digestOfCode } from '../files/code-files.ts';
import type { AnsweredQuestion, Grade, Question, Scorer } from './scorer.ts';

type Score = (question: Question, answer: string, details: { readonly isFinished: boolean }) => unknown;

/** Load the file; `inputs`: what it reads besides. Throws `UsageError` when it cannot be read or exports no `score`. */
export async function moduleScorer(path: string, inputs: readonly string[] = []): Promise<Scorer> {
  const file = resolve(path);
  const { score, version = 1 } = await load(path, file);
  if (typeof score !== 'function') {
    throw new UsageError(`the scorer ${path} exports no function score`, {
      fix: 'write: export function score(question, answer) { return answer === question.gold; }',
    });
  }
  if (!Number.isSafeInteger(version) || (version as number) < 0)
    throw new UsageError(`the scorer ${path} exports version ${JSON.stringify(version)}, not a whole number`);
  return {
    name: `module:${basename(path)}`,
    version: version as number,
    key: `module ${version} ${digestOfCode([file], inputs)}`,
    problemOf: () => null,
    grade: async (answered, signal) => {
      const grades: Grade[] = [];
      for (const one of answered) {
        signal?.throwIfAborted();
        grades.push({ score: await scoreOne(path, score as Score, one), extracted: null });
      }
      return grades;
    },
  };
}

async function load(path: string, file: string): Promise<{ score?: unknown; version?: unknown }> {
  try {
    return await import(/* @vite-ignore */ pathToFileURL(file).href);
  } catch (cause) {
    throw new UsageError(`the scorer ${path} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
}

async function scoreOne(path: string, score: Score, { question, answer }: AnsweredQuestion): Promise<number> {
  let result: unknown;
  try {
    const record = withDoubles(question.record) as DataRecord;
    result = await score({ ...question, record }, answer.text, { isFinished: answer.isFinished });
  } catch (cause) {
    throw new TmsError(`the scorer ${path} failed on ${question.id}: ${(cause as Error).message}`, { cause });
  }
  if (typeof result === 'boolean') return Number(result);
  if (typeof result === 'number' && result >= 0 && result <= 1) return result;
  throw new TmsError(`the scorer ${path} returned ${JSON.stringify(result)} for ${question.id}`, {
    fix: 'return a number from 0 to 1, or true or false',
  });
}
