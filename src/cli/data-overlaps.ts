import type { RunConfig } from '../config/schema.ts';
import { findOverlaps } from '../data/contamination.ts';
import type { Selection } from '../data/dataset.ts';
import type { Content } from '../data/example.ts';
import { lineOfRow } from '../data/example-index.ts';
import { ExampleReader } from '../data/example-reader.ts';
import { TmsError } from '../errors.ts';
import { readChoices, readQuestions } from '../evaluation/read-set.ts';

/** For each evaluation set with items that stand in the training data a sentence that names the first; of sets that cannot be read, why. */
export async function findContamination(
  config: RunConfig,
  train: Selection,
  cacheDirectory: string,
): Promise<string[]> {
  const said: string[] = [];
  for (const set of [...config.eval.sets, ...config.retention.sets]) {
    const place = { isChat: false, systemPrompt: null, cacheDirectory };
    try {
      const questions =
        set.scorer === 'multiple_choice'
          ? await readChoices(set, place)
          : await readQuestions(set, place, () => null);
      const items = questions.map(({ prompt }) => textOf(prompt));
      const overlaps = await findOverlaps(items, textsOf(train, config));
      const [first] = overlaps;
      if (first === undefined) continue;
      const item = questions[first.item];
      const line = await lineOfRow(train.index, train.rows[first.example] as number);
      said.push(
        `${overlaps.length} of ${questions.length} items of ${set.name} share words in a row with a training example: the item in line ` +
          `${item?.line} with line ${line} of ${train.index.source} ("${first.words}")`,
      );
    } catch (error) {
      if (!(error instanceof TmsError)) throw error;
      said.push(`${set.name} was not looked at: ${error.message}`);
    }
  }
  return said;
}

/** Question and answer of each row. */
async function* textsOf({ index, rows }: Selection, config: RunConfig): AsyncGenerator<string> {
  const reader = await ExampleReader.open(index, config);
  try {
    for (const row of rows) {
      const { prompt, completion } = await reader.read(row);
      yield `${textOf(prompt)}\n${completion === null ? '' : textOf(completion)}`;
    }
  } finally {
    await reader.close();
  }
}

function textOf(content: Content): string {
  return typeof content === 'string' ? content : content.map(message => message.content ?? '').join('\n');
}
