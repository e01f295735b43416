/** What becomes of examples whose tokens do not fit. */
import { DataError } from './data-error.ts';

export type LengthOptions = {
  readonly max_length: number;
  readonly too_long: 'truncate' | 'drop';
  readonly max_too_long_fraction: number;
};

/** Numbers of tokens, one entry an example. */
export type TokenLengths = { readonly lengths: ArrayLike<number>; readonly promptLengths: ArrayLike<number> };

export type LengthReport = {
  /** Rows that are trained on. */
  readonly usable: Uint32Array;
  /** Longer than max_length: cut, or dropped, as asked. */
  readonly tooLong: number;
  /** Nothing of the completion fits: always dropped. */
  readonly promptTooLong: number;
  /** No tokens in the prompt or in the completion: always dropped. */
  readonly emptyPrompts: number;
  readonly emptyCompletions: number;
  /** Tokens of the usable rows, after cutting. */
  readonly tokens: number;
  readonly promptTokens: number;
  readonly longest: number;
  /** Why a run refuses these: too many are too long. */
  readonly tooMany: DataError | null;
};

/** Sort out `rows` by length. Throws `DataError` when nothing is left. `source` names the file in messages. */
export function checkLengths(
  source: string,
  rows: Uint32Array,
  tokens: TokenLengths,
  options: LengthOptions,
): LengthReport {
  const usable = new Uint32Array(rows.length);
  const report = {
    tooLong: 0,
    promptTooLong: 0,
    emptyPrompts: 0,
    emptyCompletions: 0,
    tokens: 0,
    promptTokens: 0,
    longest: 0,
  };
  let end = 0;
  for (const row of rows) {
    const length = tokens.lengths[row] as number;
    const promptLength = tokens.promptLengths[row] as number;
    report.longest = Math.max(report.longest, length);
    const fate = fateOf(length, promptLength, options.max_length);
    if (fate !== 'fits') report[fate]++;
    if (fate !== 'fits' && !(fate === 'tooLong' && options.too_long === 'truncate')) continue;
    usable[end++] = row;
    report.tokens += Math.min(length, options.max_length);
    report.promptTokens += promptLength;
  }
  const tooMany = tooManyOf(source, rows.length, report, options);
  if (end === 0)
    throw tooMany ?? new DataError(`${source}: no example is left to train on (${describeDrops(report)})`);
  return { usable: end === rows.length ? rows : usable.subarray(0, end), ...report, tooMany };
}

/** A prompt without tokens, a completion without tokens, … : the first that applies. */
function fateOf(length: number, promptLength: number, maxLength: number) {
  if (promptLength === 0) return 'emptyPrompts';
  if (length === promptLength) return 'emptyCompletions';
  if (promptLength >= maxLength) return 'promptTooLong';
  return length > maxLength ? 'tooLong' : 'fits';
}

type Drops = Omit<LengthReport, 'usable' | 'tooMany'>;

function tooManyOf(
  source: string,
  count: number,
  report: Drops,
  { max_length, max_too_long_fraction }: LengthOptions,
): DataError | null {
  const tooLong = report.tooLong + report.promptTooLong;
  if (tooLong <= max_too_long_fraction * count) return null;
  const share = ((100 * tooLong) / count).toFixed(1);
  return new DataError(
    `${source}: ${tooLong} of ${count} examples (${share} %) are longer than max_length ${max_length}; the longest has ${report.longest} ` +
      `tokens, and ${report.promptTooLong} prompts alone fill it`,
    {
      fix: `raise max_length, or allow it with max_too_long_fraction: ${Math.ceil((1000 * tooLong) / count) / 1000}`,
    },
  );
}

/** The counts that are not zero, in words. */
export function describeDrops(report: Drops): string {
  const words = {
    tooLong: 'longer than max_length',
    promptTooLong: 'with a prompt that fills max_length',
    emptyPrompts: 'without prompt tokens',
    emptyCompletions: 'without completion tokens',
  };
  const parts = Object.entries(words).flatMap(([key, text]) => {
    const found = report[key as keyof typeof words];
    return found > 0 ? [`${found} ${text}`] : [];
  });
  return parts.join(', ') || 'none dropped';
}

/** max_length must fit the model. Throws `DataError`. */
export function checkPositions(maxLength: number, maxPositions: number | null): void {
  if (maxPositions === null || maxLength <= maxPositions) return;
  throw new DataError(`max_length is ${maxLength}, but the model has ${maxPositions} positions`, {
    fix: `set max_length: ${maxPositions}`,
  });
}
