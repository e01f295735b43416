/** HTML that escapes whatever is put into it. */
import { dash } from './format.ts';
import type { Look } from './marks.ts';

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

// Pieces that several sections of the page share.

/** A part of the page with an entry in its list of contents. */
export type Section = {
  readonly id: string;
  readonly title: string;
  readonly shortTitle: string;
  readonly body: Html;
};

/** The colour of a training beside its name. */
export function trainingName({ label, colour }: Look): Html {
  return html`<span class="swatch" style="--of:${colour}"></span>${label}`;
}

/** The interval behind a number steps back. */
export function numberText(text: string): Html {
  const at = text.indexOf(' [');
  return at === -1 ? html`${text}` : html`${text.slice(0, at)} <small>${text.slice(at + 1)}</small>`;
}

type TableLook = {
  /** Columns that read from the left, beside the first. */
  readonly texts?: readonly number[];
  /** Group of each column, '' for none; a line above the head shows each once. */
  readonly groups?: readonly string[];
};

/** A table of numbers with a head; empty cells become dashes. */
export function plainTable(
  head: readonly string[],
  rows: readonly (readonly (Html | string)[])[],
  { texts = [], groups = [] }: TableLook = {},
): Html {
  const cells = (row: readonly (Html | string)[]) =>
    row.map(
      (cell, i) =>
        html`<td${texts.includes(i) ? raw(' class="text"') : null}>${cell === '' ? dash : cell}</td>`,
    );
  const top = groups.length === 0 ? null : html`<tr>${groupCells(groups)}</tr>`;
  const titles = head.map(
    (title, i) => html`<th scope="col"${texts.includes(i) ? raw(' class="text"') : null}>${title}</th>`,
  );
  return html`<div class="scroll"><table><thead>${top}<tr>${titles}</tr></thead>
<tbody>${rows.map(row => html`<tr>${cells(row)}</tr>`)}</tbody></table></div>`;
}

/** One cell for each run of columns of the same group. */
export function groupCells(groups: readonly string[]): Html[] {
  return groups.flatMap((group, i) => {
    if (group === '') return [html`<th></th>`];
    if (groups[i - 1] === group) return [];
    const span = groups.filter(other => other === group).length;
    return [html`<th colspan="${span}" class="group"><span>${group}</span></th>`];
  });
}
