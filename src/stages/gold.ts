/** Training on the gold completions. */
import type { TokenRow } from '../data/token-file.ts';
import type { TrainingPlan } from '../plan/training-plan.ts';
import { completionOnly, type TrainingSequence } from '../worker/worker.ts';
import type { RunContext } from './run-context.ts';
import type { Stage } from './train.ts';

/** A stage whose every visit trains on the gold completion. */
export function goldStage(run: RunContext, name: Stage['name'], plan: TrainingPlan): Stage {
  return { name, plan, sequenceOf: ({ example }) => goldSequence(run, example) };
}

export async function goldSequence({ data, config }: RunContext, example: number): Promise<TrainingSequence> {
  return sequenceOfRow(await data.tokens.read(data.rows[example] as number, config.max_length));
}

export function sequenceOfRow(row: TokenRow): TrainingSequence {
  return completionOnly(row);
}
