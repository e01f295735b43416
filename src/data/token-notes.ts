/** What tokens depend on, and what is said about them: it is about the rows of a token file, so it stays with them. */
import { createHash } from 'node:crypto';

export type TokenNotes = {
  /** `firstRow` is the first row that it is about. */
  readonly warnings: readonly {
    readonly code: string;
    readonly message: string;
    readonly count: number;
    readonly firstRow: number;
  }[];
  /** Ids that end an answer, ascending. */
  readonly stopIds: readonly number[];
  /** Whether the template wrote something after the date. */
  readonly readsDate: boolean;
};

export const noNotes: TokenNotes = { warnings: [], stopIds: [], readsDate: false };

/** A warning with how many it is about, and where the first one is. */
export function warningText(
  { code, message, count }: { code: string; message: string; count: number },
  place: string,
): string {
  const found = count === 1 ? `1 example, in ${place}` : `${count} examples, first in ${place}`;
  return `${code}: ${message} (${found})`;
}

/** Raised when the same examples become other tokens. */
const encoderVersion = 4;

/** Everything that the tokens of a file depend on; equal keys mean equal files. `date` is null where the template does not read it. */
export function tokensKey(parts: {
  readonly dataDigest: string;
  readonly tokenizer: string;
  readonly chatTemplate: string | null;
  readonly templateOptions: Readonly<Record<string, unknown>>;
  readonly eosTokenIds: readonly number[];
  readonly splitSpecialTokens: boolean;
  readonly date: string | null;
}): string {
  const { dataDigest, tokenizer, chatTemplate, templateOptions, eosTokenIds, splitSpecialTokens, date } =
    parts;
  const options = Object.entries(templateOptions).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const whole = [
    encoderVersion,
    dataDigest,
    tokenizer,
    chatTemplate,
    options,
    eosTokenIds,
    splitSpecialTokens,
    date,
  ];
  return createHash('sha256').update(JSON.stringify(whole)).digest('hex');
}
