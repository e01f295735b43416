/** What `retention.max_drop` makes of a command: a JUnit file where one is asked for, and exit code 2 where it is exceeded. */
import { resolve } from 'node:path';
import { UnmetError, UsageError } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.ts';
import { checkTexts, type Gate, gateCases } from '../report/gate.ts';
import { type JunitCase, junitXml } from '../report/junit.ts';

/** The option of every command that has results. */
export const junitOption = [
  '--junit <file>',
  'write what retention.max_drop demands, and whether it holds, as JUnit XML',
] as const;

/** Refused before anything is trained: without a bound there is nothing to write. */
export function refuseIdleJunit(
  junit: string | undefined,
  maxDrop: unknown,
  fix = 'say what is demanded: --set retention.max_drop=0.05',
): void {
  if (junit === undefined || typeof maxDrop === 'number') return;
  throw new UsageError('--junit has nothing to say, because the run has no retention.max_drop', { fix });
}

/** A file without any case would pass for a run that keeps everything. */
const notThere: JunitCase = {
  name: 'retention.max_drop',
  state: 'skipped',
  type: 'retention.max_drop',
  text: 'the model that the run was made for has not been measured yet',
};

/** Write the JUnit file. Throws `UnmetError` that names the sets which dropped by more than is allowed. */
export function holdToGate(gate: Gate | null, { name, junit }: { name: string; junit?: string | undefined }) {
  if (junit !== undefined)
    writeFileAtomic(resolve(junit), junitXml(name, gate === null ? [notThere] : gateCases(gate)));
  if (gate?.outcome !== 'failed') return;
  const { maxDrop, label } = gate;
  throw new UnmetError(
    `${label} dropped by more than retention.max_drop ${maxDrop}: ${checkTexts(gate, 'failed').join(', ')}`,
    {
      fix: 'the run is finished and its files are whole; report.html shows the items that were lost. Train less (learning_rate, num_train_epochs) or with another method',
    },
  );
}
