/** A set that lm-eval asks and scores: the worker answers, lm-eval judges, and the judgements are paired like those of any set. */

import { withLmEval } from '../config/suites.ts';
import { UsageError } from '../errors.ts';
import type { SetRecord } from '../run/records.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { shareOf } from './answer-sets.ts';
import { collectRequests, scoreAnswers } from './lm-eval.ts';
import { answerRequests, type LmEvalAnswering } from './lm-eval-answers.ts';
import { isRight } from './scorer.ts';
import type { AnySet, Encoding, LmEvalSet, SetRequest } from './sets.ts';

/** Version of how lm-eval is asked. */
export const lmEvalVersion = 2;

type PreparedLmEval = { set: LmEvalSet; notes: string[]; stopIds: number[]; readsDate: boolean };

/** lm-eval turns its texts into ids itself; `limit` is of each of its tasks, from their beginning. */
export async function prepareLmEval(
  request: SetRequest,
  common: AnySet,
  { lmEval, signal }: Encoding,
): Promise<PreparedLmEval> {
  const { set, isChat, systemPrompt } = request;
  const { name, path, limit, num_fewshot: fewshot, metric, lm_eval: task } = set;
  signal?.throwIfAborted();
  if (lmEval === undefined || task === null) throw new Error('no process for lm-eval, or no task');
  const suite = { name, task, limit, fewshot, metric, systemPrompt: isChat ? systemPrompt : null };
  const folder = path === withLmEval ? null : path;
  const found = await collectRequests(lmEval.process, { ...suite, folder, isChat }, lmEval.model);
  if (found.metric === null)
    throw new UsageError(
      `evaluation set ${name}: lm_eval:${task} has no metric that is a share from 0 to 1 of each document, so nothing can be paired`,
      { fix: 'choose another task' },
    );
  const questions = found.questions.map(({ id, prompt, target }, i) => ({
    ...{ id, line: i + 1, prompt, gold: target },
    record: {},
  }));
  const prepared = {
    kind: 'lm_eval' as const,
    questions,
    task: found,
    lmEval: lmEval.process,
    output: lmEval.output,
  };
  const version = Object.entries(found.tasks).map(([one, number]) => `${one} ${number}`);
  const notes = [
    `evaluation set ${name}: lm-eval ${found.version}, ${found.metric} of ${shortList(version)}`,
  ];
  return { set: { ...common, ...prepared }, notes, stopIds: [], readsDate: false };
}

function shortList(names: readonly string[]): string {
  const more = names.length - 3;
  return more > 0 ? `${names.slice(0, 3).join(', ')} and ${more} more tasks` : names.join(', ');
}

type Options = Pick<LmEvalAnswering, 'sampler' | 'seed' | 'maxRows' | 'tally'> & {
  readonly model: ModelInfo;
};

/** `accuracy` is the share of documents whose metric is at least a half; lm-eval's own numbers stand beside it. */
export async function measureLmEval(worker: Worker, set: LmEvalSet, options: Options): Promise<SetRecord> {
  const { name, role, task, lmEval, output } = set;
  const { eosTokenIds: stopIds, vocabSize } = options.model;
  const answers = await answerRequests(worker, task.requests, { ...options, name, stopIds, vocabSize });
  const { verdicts, metrics } = await scoreAnswers(lmEval, task, answers, output);
  const items = verdicts.map(({ id, score, answer }) => ({ id, isCorrect: isRight(score), answer }));
  return {
    name,
    role,
    scorer: 'lm_eval',
    scorerVersion: lmEvalVersion,
    accuracy: shareOf(items.map(({ isCorrect }) => isCorrect)),
    sampledAccuracy: null,
    unfinished: answers.filter(answer => 'isFinished' in answer && !answer.isFinished).length,
    measures: metrics,
    items,
  };
}
