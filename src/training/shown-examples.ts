/** The text of a few examples, so that a report can show their answers beside gold without the data or the tokenizer. */
import { writeFact } from '../run/facts.ts';
import type { ExampleRecord } from '../run/records.ts';
import type { Run } from './run.ts';

const file = 'examples.jsonl';
const mostShown = 24;

/** Write the first training examples as text; again where a resume finds them, which may be damaged. */
export async function writeShownExamples({ directory, data, plan, worker }: Run): Promise<void> {
  const examples = Array.from(
    { length: Math.min(mostShown, plan.data.trainExamples) },
    (_, example) => example,
  );
  const rows = await Promise.all(examples.map(example => data.tokens.read(data.rows[example] as number)));
  const prompts = await worker.decode(rows.map(({ ids, promptLength }) => ids.subarray(0, promptLength)));
  const golds = await worker.decode(rows.map(({ ids, promptLength }) => ids.subarray(promptLength)));
  const records = examples.map((example): ExampleRecord => {
    return {
      example,
      id: data.idTextOf(example),
      prompt: prompts[example] ?? '',
      gold: golds[example] ?? '',
    };
  });
  writeFact(directory, file, records.map(record => `${JSON.stringify(record)}\n`).join(''));
}
