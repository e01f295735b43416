/**
 * The control that a comparison needs: train as long as SFT does, on the base model's own answers. What is forgotten then is due to the
 * optimiser and not to the labels.
 */
import { readFileSync } from 'node:fs';
import type { TrainingPlan } from '../plan/training-plan.ts';
import { answerRecord } from '../run/records.ts';
import { withAnswer } from '../worker/worker.ts';
import { answersFile, writeAnswers } from './answer.ts';
import { evaluateAt } from './evaluate.ts';
import { sayControlAnswers } from './fallbacks.ts';
import { sequenceOfRow } from './gold.ts';
import type { RunContext } from './run-context.ts';
import { type Stage, stopsOf, trainTo } from './train.ts';

const file = answersFile('base', 0);

export async function trainOnBaseAnswers(run: RunContext, plan: TrainingPlan): Promise<void> {
  const control: Stage = { name: 'control', plan, sequenceOf: ({ example }) => sequenceOf(example) };
  const keys = Array.from({ length: run.plan.data.trainExamples }, (_, example) => ({ example, sample: 0 }));
  await writeAnswers(run, control, 0, keys, file);
  const answers = readFileSync(run.directory.file(file), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => answerRecord.parse(JSON.parse(line)));
  sayControlAnswers(run, {
    unfinished: answers.filter(({ finishReason }) => finishReason === 'length').length,
    all: answers.length,
  });
  for (const step of stopsOf(plan)) {
    await trainTo(run, control, step);
    if (plan.evaluationSteps.includes(step)) await evaluateAt(run, control, step);
  }

  async function sequenceOf(example: number) {
    const { ids, promptLength } = await run.data.tokens.read(run.data.rows[example] as number);
    return sequenceOfRow(withAnswer(ids.subarray(0, promptLength), answers[example]?.ids ?? []));
  }
}
