/** The toy's tokens: one a printable ASCII character, with the ids of the character tokenizer in test/py_worker/builders.py. */

const special = ['<unk>', '<|pad|>', '<|bos|>', '<|im_start|>', '<|im_end|>'] as const;
const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
const tokens: readonly string[] = [...special, '\n', ...printable];
const idOf = new Map(tokens.map((token, id) => [token, id]));

export const vocabSize = tokens.length;
const unknownId = 0;
export const padId = 1;
export const bosId = 2;
export const eosId = 4;

/** Special tokens written out in the text become their ids, as in Hugging Face tokenizers; other characters are unknown. */
export function tokenize(text: string): number[] {
  const pieces = text.match(/<unk>|<\|(?:pad|bos|im_start|im_end)\|>|[\s\S]/gu) ?? [];
  return pieces.map(piece => idOf.get(piece) ?? unknownId);
}

/** A token a character, whatever they spell. */
export function tokenizePlain(text: string): number[] {
  return Array.from(text, piece => idOf.get(piece) ?? unknownId);
}

/** The text of ids inside the vocabulary. */
export function detokenize(ids: Iterable<number>, skipSpecialTokens: boolean): string {
  const kept = [...ids].filter(id => !(skipSpecialTokens && isSpecial(id)));
  return kept.map(id => tokens[id]).join('');
}

export function isSpecial(id: number): boolean {
  return id < special.length;
}
