/** A figure: panels and one caption that names them, and how it stands in a page. Pure. */
import { html, raw, type Section } from './html-parts.ts';
import { legend } from './legend.ts';
import type { Look } from './marks.ts';

export type Figure = {
  /** Anchor in the page. */
  readonly id: string;
  readonly title: string;
  /** For the list of contents. */
  readonly shortTitle: string;
  /** Models that its marks stand for. */
  readonly legend: 'none' | 'trained' | 'all';
  /** Named a, b, c, … in the caption. */
  readonly panels: readonly string[];
  readonly caption: string;
};

/** The panels that are there, each named by its letter where there are several, between what holds for all of them. */
export function lettered(
  parts: readonly { readonly panel: string | null; readonly text: string }[],
  { before = '', after = '' }: { readonly before?: string; readonly after?: string },
): Pick<Figure, 'panels' | 'caption'> {
  const present = parts.flatMap(({ panel, text }) => (panel === null ? [] : [{ panel, text }]));
  const texts = present.map(({ text }, i) =>
    present.length === 1 ? capitalised(text) : `(${letters[i] ?? ''}) ${text}`,
  );
  const caption = [before, ...texts, after].filter(text => text !== '').join(' ');
  return { panels: present.map(({ panel }) => panel), caption };
}

const letters = 'abcdefghijkl';

/** A figure beside few panels has its caption in the free place of the row. `looks`: what its marks stand for. */
export function figureSection(
  { id, title, shortTitle, panels, caption }: Omit<Figure, 'legend'>,
  number: number,
  looks: readonly Look[],
): Section {
  const captionText = html`<figcaption><b>Figure ${number}.</b> ${caption}</figcaption>`;
  const drawn = panels.map(
    (panel, i) =>
      html`<div>${panels.length === 1 ? null : html`<b class="letter">${letters[i] ?? ''}</b>`}${raw(panel)}</div>`,
  );
  const body =
    panels.length < 3
      ? html`<figure><div class="panels few${panels.length === 1 ? ' one' : ''}">${drawn}${captionText}</div></figure>`
      : html`<figure><div class="panels">${drawn}</div>${captionText}</figure>`;
  return { id, title, shortTitle, body: html`${legend(looks)}${body}` };
}

function capitalised(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
