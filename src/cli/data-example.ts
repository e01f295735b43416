/** One example for a person: its tokens, and which of them the loss counts. */
import type { Terminal } from './terminal.ts';

/** An example as `tms data show` knows it; printed as it is by `--json`. */
export type ShownExample = {
  readonly id: string;
  readonly split: 'train' | 'test';
  /** From 0, among those of the file that were not dropped. */
  readonly row: number;
  /** False for one that training leaves out, because of its length. */
  readonly isUsed: boolean;
  /** Tokens before anything is cut. */
  readonly length: number;
  readonly promptLength: number;
  readonly endsWithEos: boolean;
  readonly tokens: readonly ShownToken[];
};

/** A heading, then the text with its mask, broken after each token that ends a line. */
export function exampleLines(example: ShownExample, terminal: Terminal): string[] {
  return [
    heading(example, terminal),
    ...textLines(example.tokens).map(line => `  ${maskedText(line, terminal)}`),
  ];
}

/** A heading, then one line a token: place, id, whether it is learnt, text. */
export function tokenLines(example: ShownExample, terminal: Terminal): string[] {
  const rows = example.tokens.map(({ id, text, isLearned }, place) => {
    const row = `  ${String(place).padStart(5)}  ${String(id).padStart(7)}  ${isLearned ? 'learned' : 'prompt '}  ${JSON.stringify(text)}`;
    return terminal.paint(isLearned ? 'green' : 'dim', row);
  });
  return [heading(example, terminal), ...rows];
}

function heading({ id, split, row, isUsed, ...example }: ShownExample, terminal: Terminal): string {
  const name = terminal.paint('bold', `example ${id}`);
  return `${name} (${split}, row ${row}${isUsed ? '' : ', not trained on'}): ${lengthText(example)}`;
}

function lengthText({
  tokens,
  length,
  promptLength,
  endsWithEos,
}: Omit<ShownExample, 'id' | 'split' | 'row' | 'isUsed'>): string {
  const learned = tokens.filter(token => token.isLearned).length;
  const cut = length > tokens.length ? `; cut from ${length}, so its end is not learned` : '';
  const last = visible(tokens.at(-1)?.text ?? '');
  const end =
    cut !== '' ? '' : endsWithEos ? `, ending in ${last}` : `; its last token ${last} does not end an answer`;
  return `${tokens.length} tokens, ${Math.min(promptLength, tokens.length)} of the prompt, ${learned} learned${end}${cut}`;
}

function textLines(tokens: readonly ShownToken[]): ShownToken[][] {
  const lines: ShownToken[][] = [[]];
  tokens.forEach((token, place) => {
    lines.at(-1)?.push(token);
    if (token.text.includes('\n') && place < tokens.length - 1) lines.push([]);
  });
  return lines;
}

/** With colours: the prompt dim, learnt tokens green and plain in turn, so that one is told from the next. */
function maskedText(tokens: readonly ShownToken[], terminal: Terminal): string {
  const hasColors = terminal.paint('dim', '.') !== '.';
  if (!hasColors) return showAsText(tokens);
  return tokens
    .map(({ text, isLearned }, place) => {
      if (!isLearned) return terminal.paint('dim', visible(text));
      const green = terminal.paint('green', visible(text));
      return place % 2 === 0 ? green : terminal.paint('bold', green);
    })
    .join('');
}

// What a person sees of an example: its tokens, and which of them are learnt.

/** One token: the loss counts it, or it is only read. */
export type ShownToken = { readonly id: number; readonly text: string; readonly isLearned: boolean };

/** `weights` are those of the loss that training takes, `texts` the text of each single token, in order. */
export function showExample(
  ids: ArrayLike<number>,
  weights: ArrayLike<number>,
  texts: readonly string[],
): ShownToken[] {
  return Array.from(ids, (id, j) => ({ id, text: texts[j] ?? '', isLearned: weights[j] !== 0 }));
}

/** Without colours: learnt tokens in square brackets, newlines and tabs visible. */
export function showAsText(tokens: readonly ShownToken[]): string {
  return tokens.map(({ text, isLearned }) => (isLearned ? `[${visible(text)}]` : visible(text))).join('');
}

/** Line breaks and tabs as escapes, so that a token stays on its line. */
function visible(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r');
}
