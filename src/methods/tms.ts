/**
 * Trajectory-Mixed Supervision (arXiv 2602.03073). Fine-tune once; let T checkpoints of that run answer the training prompts; train a
 * fresh student on a mixture of their answers and the gold ones. No reward, no verifier. docs/algorithm.md gives the equations.
 */
import { answerAt } from '../stages/answer.ts';
import { trainOnBaseAnswers } from '../stages/control.ts';
import { evaluateAt } from '../stages/evaluate.ts';
import { goldStage } from '../stages/gold.ts';
import { keepCheckpoint, publishSft } from '../stages/keep.ts';
import { mixTargets } from '../stages/mix.ts';
import type { RunContext } from '../stages/run-context.ts';
import { stopsOf, trainTo } from '../stages/train.ts';

export async function runTms(run: RunContext): Promise<void> {
  const { plan } = run;
  if (plan.student === null) throw new Error('the plan is not one of tms');
  await evaluateAt(run, 'base', 0);

  // The trajectory: checkpoint θ_k answers when training stands at step t_k (E4: y^(k) ~ π_θk).
  const sft = goldStage(run, 'sft', plan.sft);
  for (const step of stopsOf(plan.sft, plan.checkpointSteps)) {
    await trainTo(run, sft, step);
    if (plan.checkpointSteps.includes(step)) {
      await keepCheckpoint(run, sft, step);
      await answerAt(run, sft, step);
    }
    if (plan.sft.evaluationSteps.includes(step)) await evaluateAt(run, sft, step);
  }
  publishSft(run);

  // The mixture: each visit of a prompt draws one target from q_α = α·gold + (1−α)·(1/T)·Σ_k answers (E5).
  const student = await mixTargets(run);
  try {
    // The student: from the base, negative log-likelihood of the drawn targets = forward KL to q_α (E6).
    for (const step of stopsOf(plan.student)) {
      await trainTo(run, student, step);
      if (plan.student.evaluationSteps.includes(step)) await evaluateAt(run, student, step);
    }
  } finally {
    await student.close();
  }
  if (plan.control !== null) await trainOnBaseAnswers(run, plan.control);
}
