/** What the marks of a figure stand for. */
import { baseName } from '../run/trainings.ts';
import { type Html, html, raw } from './html-parts.ts';
import type { Look } from './marks.ts';

/** Line and mark of each, with its name; null for none. */
export function legend(looks: readonly Look[]): Html | null {
  if (looks.length === 0) return null;
  const entries = looks.map(look => html`<span>${keyOf(look)}${look.label}</span>`);
  return html`<p class="legend">${entries}</p>`;
}

/** The base is a point without a path. */
function keyOf({ name, colour, isHollow, symbol }: Look): Html {
  const line =
    name === baseName ? '' : `<path d="M0,6H24" fill="none" stroke="${colour}" stroke-width="1.6"/>`;
  const fill = isHollow ? 'var(--paper)' : colour;
  const mark = `<path d="${outline(symbol)}" transform="translate(12,6)" fill="${fill}" stroke="${isHollow ? colour : 'none'}" stroke-width="1.6"/>`;
  return html`<svg viewBox="0 0 24 12" aria-hidden="true">${raw(line + mark)}</svg>`;
}

const radius = 4;

/** The mark as an SVG path. */
function outline(symbol: Look['symbol']): string {
  const parts: string[] = [];
  const at = (x: number, y: number) => `${Number(x.toFixed(2))},${Number(y.toFixed(2))}`;
  const half = (x: number, y: number, r: number) => `A${r},${r} 0 0 1 ${at(x, y)}`;
  symbol.draw(
    {
      moveTo: (x, y) => parts.push(`M${at(x, y)}`),
      lineTo: (x, y) => parts.push(`L${at(x, y)}`),
      arc: (x, y, r) => parts.push(`M${at(x + r, y)}${half(x - r, y, r)}${half(x + r, y, r)}`),
      closePath: () => parts.push('Z'),
    },
    Math.PI * radius ** 2,
  );
  return parts.join('');
}
