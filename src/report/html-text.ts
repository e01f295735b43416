/** HTML that escapes whatever is put into it. */

/** A piece of markup that is safe as it stands. */
export type Html = { readonly html: string };

type Piece = string | number | Html | null | readonly Html[];

/** Template tag: texts and numbers are escaped, `Html` is not, null is nothing. */
export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  const parts = strings.map((text, i) => text + (i < pieces.length ? pieceText(pieces[i] ?? null) : ''));
  return { html: parts.join('') };
}

/** Markup that this program made, such as a plot. */
export function raw(markup: string): Html {
  return { html: markup };
}

function pieceText(piece: Piece): string {
  if (piece === null) return '';
  if (typeof piece === 'string') return escapeText(piece);
  if (typeof piece === 'number') return String(piece);
  return 'html' in piece ? piece.html : piece.map(part => part.html).join('');
}

function escapeText(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replace(/[&<>"']/g, letter => entities[letter] ?? letter);
}
