/**
 * What an on-policy training learned at a step: `rollouts/<training>/step-000123.jsonl`, a line a sequence. For people and programs;
 * a training that goes on after an interruption writes the same again, so nothing depends on these files.
 */
import { type RolloutRecord, stepName } from '../run/records.ts';
import type { TrainingSequence } from '../worker/worker.ts';
import type { Run } from './run.ts';

/** `step`: from 1, the optimiser step that learns them. */
export function writeRollouts(
  { directory }: Pick<Run, 'directory'>,
  { training, step }: { readonly training: string; readonly step: number },
  sequences: readonly TrainingSequence[],
): void {
  const name = `rollouts/${training}/${stepName(step)}.jsonl`;
  directory.place(name);
  directory.write(name, sequences.map(sequence => `${JSON.stringify(recordOf(sequence))}\n`).join(''));
}

function recordOf({ ids, ce, dft, policyGradient, match, advantages }: TrainingSequence): RolloutRecord {
  const weights = policyGradient ?? match ?? ce ?? dft ?? [];
  const promptLength = Array.from(weights).findIndex(weight => weight !== 0);
  const advantage = advantages?.[promptLength];
  return { ids: [...ids], promptLength, ...(advantage !== undefined && { advantage }) };
}
