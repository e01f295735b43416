/** What the lab trains and tests on, as pure functions of a seed. */
import { pickWeighted, type Random, randomAt } from '../src/data/random.ts';
import { baseSum, drawSum, goldSum } from './addition.ts';
import { baseAnswer, drawProblem, goldAnswer, type Problem, problemKey, promptOf } from './countdown.ts';
import { skills } from './skills.ts';

export type Example = { readonly prompt: string; readonly completion: string };
export type RetentionExample = Example & { readonly skill: string };

/** Of the committed data; another seed makes another laboratory, whose base has to be pretrained anew. */
export const dataSeed = 1;
/** The first are for training, the rest is held out. */
export const targetCounts = { train: 600, test: 300 } as const;
export const promptsPerSkill = 60;
export const replayCount = 600;

/** Shares of the tasks in pretraining. Few examples of four digits are what leaves the base at half of them right. */
export const mixture = { skill: 0.105, addition: 0.08, threeDigits: 0.06, fourDigits: 0.01 } as const;

/** The problems of target D, no two with the same digits and value. */
export function targetProblems(): Problem[] {
  const draw = (index: number) => drawProblem(randomAt(dataSeed, 'target', index), 4);
  return distinct(targetCounts.train + targetCounts.test, draw, problemKey);
}

/** Target D with its gold: `Da:0`, or `Da:4` with comments. */
export function targetExamples(hasComment: boolean): Example[] {
  return targetProblems().map((problem, index) => ({
    prompt: promptOf(problem),
    completion: goldAnswer(randomAt(dataSeed, 'gold', index), problem, hasComment),
  }));
}

/** Target A with its gold. */
export function additionExamples(): Example[] {
  const draw = (index: number) => drawSum(randomAt(dataSeed, 'addition', index));
  const prompts = distinct(targetCounts.train + targetCounts.test, draw, prompt => prompt);
  return prompts.map(prompt => ({ prompt, completion: goldSum(prompt) }));
}

/** Different prompts of every skill. */
export function retentionExamples(): RetentionExample[] {
  return skills.flatMap(skill => {
    const draw = (index: number) => skill.prompt(randomAt(dataSeed, `retention/${skill.name}`, index));
    const prompts = distinct(promptsPerSkill, draw, prompt => prompt);
    return prompts.map(prompt => ({ prompt, completion: skill.answer(prompt), skill: skill.name }));
  });
}

/** The examples `start` to `start + count` of the endless stream that a base is pretrained on; none is a problem of target D. */
export function pretrainingExamples(seed: number, start: number, count: number): Example[] {
  const targets = new Set(targetProblems().map(problemKey));
  return Array.from({ length: count }, (_, i) =>
    pretrainingExample(randomAt(seed, 'pretraining', start + i), targets),
  );
}

/** Of the kind that bases are pretrained on, for methods that replay it: none asks what a retention set asks, none is a problem of target D. */
export function replayExamples(): Example[] {
  const measured = new Set(retentionExamples().map(({ prompt }) => prompt));
  const targets = new Set(targetProblems().map(problemKey));
  const draw = (index: number) => pretrainingExample(randomAt(dataSeed, 'replay', index), targets);
  return distinct(replayCount + measured.size, draw, ({ prompt }) => prompt)
    .filter(({ prompt }) => !measured.has(prompt))
    .slice(0, replayCount);
}

function pretrainingExample(random: Random, targets: ReadonlySet<string>): Example {
  const { skill: share, addition, threeDigits, fourDigits } = mixture;
  const task = pickWeighted(random, [...skills.map(() => share), addition, threeDigits, fourDigits]);
  const skill = skills[task];
  if (skill) {
    const prompt = skill.prompt(random);
    return { prompt, completion: skill.answer(prompt) };
  }
  if (task === skills.length) {
    const prompt = drawSum(random);
    return { prompt, completion: baseSum(random, prompt) };
  }
  const digitCount = task === skills.length + 1 ? 3 : 4;
  let problem = drawProblem(random, digitCount);
  while (targets.has(problemKey(problem))) problem = drawProblem(random, digitCount);
  return { prompt: promptOf(problem), completion: baseAnswer(random, problem) };
}

/** The first `count` of `draw(0), draw(1), …` that differ in their keys. */
function distinct<T>(count: number, draw: (index: number) => T, keyOf: (value: T) => string): T[] {
  const found = new Map<string, T>();
  for (let index = 0; found.size < count; index++) {
    const value = draw(index);
    const key = keyOf(value);
    if (!found.has(key)) found.set(key, value);
  }
  return [...found.values()];
}
