/** What a base must be able to do before anyone fine-tunes it. */
import type { Worker } from '../src/index.ts';
import { isSolution } from './countdown.ts';
import { type Example, retentionExamples, targetExamples } from './tasks.ts';

/** Shares of right answers. A target half mastered leaves room to learn and enough right samples for reinforcement. */
export const bounds = {
  eachSkill: [0.97, 1],
  targetGreedy: [0.45, 0.65],
  targetSampled: [0.25, 0.4],
} as const;

/** The longest answer is gold of target A, 20 ids with the end of the sequence. */
const maxNewTokens = 24;

export type Measurements = {
  /** Share of right greedy answers for each retention skill, 60 prompts each. */
  readonly skills: Readonly<Record<string, number>>;
  /** Of the 900 problems of target D, none of which was in pretraining. */
  readonly targetGreedy: number;
  /** The same at temperature 1. */
  readonly targetSampled: number;
};

/** Answer all retention and target prompts; an answer without an end is wrong. */
export async function measure(worker: Worker): Promise<Measurements> {
  const retention = retentionExamples();
  const target = targetExamples(false);
  const isRight = await judge(worker, retention, 0, ({ completion }, answer) => answer === completion);
  const skills: Record<string, number> = {};
  for (const skill of new Set(retention.map(example => example.skill))) {
    skills[skill] = share(isRight.filter((_, i) => retention[i]?.skill === skill));
  }
  const solves = ({ prompt }: Example, answer: string) => isSolution(prompt, answer);
  const targetGreedy = share(await judge(worker, target, 0, solves));
  return { skills, targetGreedy, targetSampled: share(await judge(worker, target, 1, solves)) };
}

/** A sentence for every bound that does not hold. */
export function shortcomings({ skills, ...target }: Measurements): string[] {
  const checks = [
    ...Object.entries(skills).map(([name, found]) => ({ name, found, bound: bounds.eachSkill })),
    { name: 'target D, greedy', found: target.targetGreedy, bound: bounds.targetGreedy },
    { name: 'target D, temperature 1', found: target.targetSampled, bound: bounds.targetSampled },
  ];
  return checks
    .filter(({ found, bound: [least, most] }) => found < least || found > most)
    .map(
      ({ name, found, bound: [least, most] }) =>
        `${name}: ${found.toFixed(3)} right, wanted ${least} to ${most}`,
    );
}

async function judge<E extends Example>(
  worker: Worker,
  examples: readonly E[],
  temperature: number,
  isRight: (example: E, answer: string) => boolean,
): Promise<boolean[]> {
  const { sequences } = await worker.encode(examples.map(({ prompt }) => ({ prompt, completion: null })));
  const prompts = sequences.map(({ ids }) => ids);
  const answers = await worker.generate(prompts, { maxNewTokens, temperature });
  const texts = await worker.decode(answers.map(({ ids }) => ids));
  return examples.map(
    (example, i) => answers[i]?.finishReason === 'stop' && isRight(example, texts[i] ?? ''),
  );
}

function share(isRight: readonly boolean[]): number {
  return isRight.filter(Boolean).length / isRight.length;
}
