/** A figure: panels and one caption that names them. Pure. */
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
    present.length === 1 ? capitalised(text) : `(${'abc'[i] ?? ''}) ${text}`,
  );
  const caption = [before, ...texts, after].filter(text => text !== '').join(' ');
  return { panels: present.map(({ panel }) => panel), caption };
}

function capitalised(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
