/**
 * Which items of an evaluation set stand in the training data: those that share a run of words with an example. As GPT-3 did (Brown et
 * al. 2020, appendix C) and lm-eval does: small letters, no punctuation, thirteen words. A shorter item counts where all of its words do. Pure.
 */

/** Words in a row that two texts do not share by chance. */
const gramWords = 13;

/** Below this many words an item says nothing: "What is 2 + 2?" stands in many texts. */
const fewestWords = 8;

/** An item with the first example that it shares words with, each by its place, and those words. */
export type Overlap = { readonly item: number; readonly example: number; readonly words: string };

/** The first of each item, in the order of the items; the index is of the items, so `examples` may be of any number. */
export async function findOverlaps(
  items: readonly string[],
  examples: AsyncIterable<string> | Iterable<string>,
): Promise<Overlap[]> {
  const { grams, sizes } = indexItems(items);
  const overlaps = new Map<number, Overlap>();
  let example = 0;
  for await (const text of examples) {
    for (const words of gramsOf(wordsOf(text), sizes))
      for (const item of grams.get(words) ?? [])
        if (!overlaps.has(item)) overlaps.set(item, { item, example, words });
    example++;
  }
  return [...overlaps.values()].sort((a, b) => a.item - b.item);
}

function indexItems(items: readonly string[]) {
  const grams = new Map<string, number[]>();
  const sizes = new Set<number>();
  for (const [item, text] of items.entries()) {
    const words = wordsOf(text);
    const size = Math.min(gramWords, words.length);
    if (size < fewestWords) continue;
    sizes.add(size);
    for (const gram of gramsOf(words, [size])) {
      const known = grams.get(gram);
      if (known === undefined) grams.set(gram, [item]);
      else if (known.at(-1) !== item) known.push(item);
    }
  }
  return { grams, sizes };
}

/** Every run of so many words. */
function* gramsOf(words: readonly string[], sizes: Iterable<number>): Generator<string> {
  for (const size of sizes)
    for (let start = 0; start + size <= words.length; start++)
      yield words.slice(start, start + size).join(' ');
}

/** Small letters and digits; what stands between them separates. */
function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}
