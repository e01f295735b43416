/** The content of every file in configs/lab/data/. */
import {
  additionExamples,
  type Example,
  type RetentionExample,
  replayExamples,
  retentionExamples,
  targetCounts,
  targetExamples,
} from './tasks.ts';

/** JSON Lines by file name. */
export function dataFiles(): Record<string, string> {
  return {
    ...split('da0', targetExamples(false)),
    ...split('da4', targetExamples(true)),
    ...split('addition', additionExamples()),
    'replay.jsonl': jsonLines(replayExamples()),
    ...bySkill(retentionExamples()),
  };
}

function split(name: string, examples: readonly Example[]): Record<string, string> {
  return {
    [`${name}-train.jsonl`]: jsonLines(examples.slice(0, targetCounts.train)),
    [`${name}-test.jsonl`]: jsonLines(examples.slice(targetCounts.train)),
  };
}

/** One file a skill: each is an evaluation set of its own. */
function bySkill(examples: readonly RetentionExample[]): Record<string, string> {
  const files: Record<string, string> = {};
  for (const example of examples) {
    const name = `retention-${example.skill}.jsonl`;
    files[name] = (files[name] ?? '') + jsonLines([example]);
  }
  return files;
}

function jsonLines(examples: readonly Example[]): string {
  return examples.map(example => `${JSON.stringify(example)}\n`).join('');
}
