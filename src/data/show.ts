/** What a person sees of an example: its tokens, and which of them are learnt. */

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
export function visible(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r');
}
