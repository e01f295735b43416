/** Ordinary supervised fine-tuning: the first stage of TMS by itself, the baseline. */
import { trainOnBaseAnswers } from '../stages/control.ts';
import { evaluateAt } from '../stages/evaluate.ts';
import { goldStage } from '../stages/gold.ts';
import { keepCheckpoint, publishSft } from '../stages/keep.ts';
import type { RunContext } from '../stages/run-context.ts';
import { stopsOf, trainTo } from '../stages/train.ts';

export async function runSft(run: RunContext): Promise<void> {
  const { plan } = run;
  await evaluateAt(run, 'base', 0);
  const sft = goldStage(run, 'sft', plan.sft);
  for (const step of stopsOf(plan.sft, plan.checkpointSteps)) {
    await trainTo(run, sft, step);
    if (plan.checkpointSteps.includes(step)) await keepCheckpoint(run, sft, step);
    if (plan.sft.evaluationSteps.includes(step)) await evaluateAt(run, sft, step);
  }
  publishSft(run);
  if (plan.control !== null) await trainOnBaseAnswers(run, plan.control);
}
