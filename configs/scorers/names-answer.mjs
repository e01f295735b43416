/**
 * A scorer of one's own, as a module: right when the answer names the gold answer or one of its aliases (TriviaQA's `aliases`).
 * `tms` calls it with the question (`prompt`, `gold`, `record`), the answer's text and whether the answer ended by itself.
 */

/** Raise it when any answer could be scored differently. */
export const version = 1;

export function score({ gold, record }, answer) {
  const said = plain(answer);
  return [gold, ...(record.aliases ?? [])].some(name => plain(name) !== '' && said.includes(plain(name)));
}

/** Small letters and digits, words parted by one space and surrounded by spaces: whole words are compared. */
function plain(text) {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.length === 0 ? '' : ` ${words.join(' ')} `;
}
