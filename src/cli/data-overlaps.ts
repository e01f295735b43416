import type { RunConfig } from '../config/schema.ts';
import { findOverlaps, type Overlap } from '../data/contamination.ts';
import type { Selection } from '../data/dataset.ts';
import type { Content } from '../data/example.ts';
import { lineOfRow } from '../data/example-index.ts';
import { ExampleReader } from '../data/example-reader.ts';
import { TmsError } from '../errors.ts';
import { readChoices, readQuestions } from '../evaluation/read-set.ts';

const rowsAtOnce = 2000;

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
      const overlaps = await overlapsOf(
        questions.map(({ prompt }) => textOf(prompt)),
        train,
        config,
      );
      const [first] = overlaps;
      if (first === undefined) continue;
      const [item, line] = [questions[first.item], await lineOfRow(train.index, first.example)];
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

/** `example` of an overlap is its row. */
async function overlapsOf(
  items: readonly string[],
  { index, rows }: Selection,
  config: RunConfig,
): Promise<Overlap[]> {
  const reader = await ExampleReader.open(index, config);
  const found = new Map<number, Overlap>();
  try {
    for (let start = 0; start < rows.length; start += rowsAtOnce) {
      const part = rows.subarray(start, start + rowsAtOnce);
      const texts: string[] = [];
      for (const row of part) {
        const { example } = await reader.readRecord(row);
        texts.push(
          `${textOf(example.prompt)}\n${example.completion === null ? '' : textOf(example.completion)}`,
        );
      }
      for (const overlap of findOverlaps(items, texts).overlaps)
        if (!found.has(overlap.item))
          found.set(overlap.item, { ...overlap, example: part[overlap.example] as number });
    }
  } finally {
    await reader.close();
  }
  return [...found.values()].sort((a, b) => a.item - b.item);
}

function textOf(content: Content): string {
  return typeof content === 'string' ? content : content.map(message => message.content ?? '').join('\n');
}
