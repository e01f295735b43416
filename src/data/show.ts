/** What a person sees of an example: its tokens, and which of them are learnt. */

/** One token: the loss counts it, or it is only read. */
export type ShownToken = { readonly id: number; readonly text: string; readonly isLearned: boolean };

/** `texts` has the text of each single token, in order. Tokens past `maxLength` are left out, as in training. */
export function showExample(
  ids: ArrayLike<number>,
  promptLength: number,
  texts: readonly string[],
  maxLength = Infinity,
): ShownToken[] {
  return Array.from(ids)
    .slice(0, maxLength)
    .map((id, j) => ({ id, text: texts[j] ?? '', isLearned: j >= promptLength }));
}

/** Without colours: learnt tokens in square brackets, newlines and tabs visible. */
export function showAsText(tokens: readonly ShownToken[]): string {
  return tokens.map(({ text, isLearned }) => (isLearned ? `[${visible(text)}]` : visible(text))).join('');
}

/** Line breaks and tabs as escapes, so that a token stays on its line. */
export function visible(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\t', '\\t').replaceAll('\r', '\\r');
}
