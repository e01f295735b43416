/** What is wrong with training examples as the model meets them: lengths, ends, what is learned, repetitions. */
import type { Dataset, Selection } from './dataset.ts';
import type { TokenFile } from './token-file.ts';

/** Numbers of tokens. */
export type Spread = {
  readonly shortest: number;
  readonly median: number;
  /** 95 of 100 are at most as long. */
  readonly usual: number;
  readonly longest: number;
};

/** Counts of examples, unless their name says else. */
export type Diagnosis = {
  readonly examples: number;
  readonly lengths: Spread;
  readonly answers: Spread;
  /** Cut at max_length, and the tokens that are lost with it. */
  readonly cut: number;
  readonly tokensLost: number;
  /** Whole, and without an id that ends an answer where they end, or with one that is not learned: the model does not learn to stop. */
  readonly withoutEnd: number;
  readonly nothingLearned: number;
  /** Of all tokens that are kept, as a share. */
  readonly learnedShare: number;
  /** The same prompt and answer as an earlier one. */
  readonly repeated: number;
  /** The prompt of an earlier one, with another answer. */
  readonly otherAnswers: number;
  /** Test examples that are trained on, and those of which only the prompt is. */
  readonly testTrained: number;
  readonly testPromptsTrained: number;
};

/** `stopIds` end an answer. Reads every example once. */
export async function diagnose(
  { train, test }: Dataset,
  tokens: TokenFile,
  { maxLength, stopIds }: { readonly maxLength: number; readonly stopIds: readonly number[] },
): Promise<Diagnosis> {
  const ends = new Set(stopIds);
  const found = { cut: 0, tokensLost: 0, withoutEnd: 0, nothingLearned: 0, kept: 0, learned: 0 };
  for (const row of train.rows) {
    const { ids, learned } = await tokens.read(row, maxLength);
    const lost = (tokens.lengths[row] as number) - ids.length;
    const count = learned.reduce((sum, mark) => sum + mark, 0);
    found.kept += ids.length;
    found.learned += count;
    if (count === 0) found.nothingLearned++;
    if (lost > 0) {
      found.cut++;
      found.tokensLost += lost;
    } else if (!ends.has(ids.at(-1) ?? -1) || learned.at(-1) !== 1) found.withoutEnd++;
  }
  const { kept, learned, ...counts } = found;
  const lengths = [...train.rows].map(row => tokens.lengths[row] as number);
  const answers = [...train.rows].map(
    (row, i) => (lengths[i] as number) - (tokens.promptLengths[row] as number),
  );
  return {
    examples: train.rows.length,
    lengths: spreadOf(lengths),
    answers: spreadOf(answers),
    ...counts,
    learnedShare: kept === 0 ? 0 : learned / kept,
    ...repetitions(train),
    ...leaks(train, test),
  };
}

function spreadOf(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { shortest: at(0), median: at(0.5), usual: at(0.95), longest: at(1) };
}

/** Ids are hashes of prompt and answer, keys of the prompt alone. */
function repetitions({ index, rows }: Selection): Pick<Diagnosis, 'repeated' | 'otherAnswers'> {
  const [seen, prompts] = [new Set<string>(), new Set<number>()];
  let [repeated, otherAnswers] = [0, 0];
  for (const row of rows) {
    const [id, prompt] = [idOf({ index }, row), index.promptKeys[row] as number];
    if (seen.has(id)) repeated++;
    else if (prompts.has(prompt)) otherAnswers++;
    seen.add(id);
    prompts.add(prompt);
  }
  return { repeated, otherAnswers };
}

function leaks(train: Selection, test: Selection): Pick<Diagnosis, 'testTrained' | 'testPromptsTrained'> {
  const ids = new Set([...train.rows].map(row => idOf(train, row)));
  const prompts = new Set([...train.rows].map(row => train.index.promptKeys[row]));
  const trained = test.rows.filter(row => ids.has(idOf(test, row))).length;
  const asked = test.rows.filter(row => prompts.has(test.index.promptKeys[row])).length;
  return { testTrained: trained, testPromptsTrained: asked - trained };
}

function idOf({ index }: Pick<Selection, 'index'>, row: number): string {
  return `${index.ids[2 * row]}:${index.ids[2 * row + 1]}`;
}

/** What a person should look at, each with what to do; none where all is well. */
export function findings(found: Diagnosis): string[] {
  const { examples, cut, tokensLost, withoutEnd, nothingLearned, repeated, otherAnswers } = found;
  const { testTrained, testPromptsTrained } = found;
  const share = (count: number) => `${count} of ${examples} examples (${percent(count / examples)})`;
  const said: [number, string][] = [
    [
      cut,
      `${share(cut)} are longer than max_length and lose ${tokensLost} tokens, their end with them: raise max_length, or too_long: drop`,
    ],
    [
      withoutEnd,
      `${share(withoutEnd)} do not learn an end: the model may run on. Check the chat template and the end-of-text token`,
    ],
    [nothingLearned, `${share(nothingLearned)} have nothing that is learned: they cost time only`],
    [repeated, `${share(repeated)} are repeated: duplicates: drop takes them out`],
    [
      otherAnswers,
      `${share(otherAnswers)} ask what an earlier one asks, with another answer: the loss cannot fall below what they disagree in`,
    ],
    [testTrained, `${testTrained} test examples are trained on: what is measured on them is memory`],
    [
      testPromptsTrained,
      `${testPromptsTrained} test examples have a prompt that is trained on, with another answer`,
    ],
  ];
  return said.flatMap(([count, text]) => (count > 0 ? [text] : []));
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`;
}
