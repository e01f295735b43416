/** One panel of a figure as SVG, drawn by Observable Plot on a document of linkedom. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** Pixels of a panel where the page is wide enough; it scales down with the page. */
export const panelWidth = 360;
export const panelHeight = 270;

/** Draw a panel with the look that all figures share. Colours are CSS variables of the page, so it follows light and dark. */
export function drawPanel(label: string, options: Plot.PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const figure = Plot.plot({
    document,
    className: 'panel',
    width: panelWidth,
    height: panelHeight,
    marginTop: 28,
    marginRight: 14,
    marginBottom: 40,
    marginLeft: 52,
    ...options,
  });
  figure.setAttribute('role', 'img');
  figure.setAttribute('aria-label', label);
  return figure.outerHTML.replace(/<style>.*?<\/style>/s, ''); // the page has its own
}

/** Axes without tick marks and with a faint grid. `yTicks`: where to put those of y, for a logarithmic scale. */
export function axes(x: string, y: string, yTicks?: readonly number[]): Plot.Markish[] {
  const ticks = yTicks === undefined ? 5 : [...yTicks];
  const look = { labelArrow: 'none', tickSize: 0, tickPadding: 6 } as const;
  return [
    Plot.gridY({ stroke: 'var(--grid)', strokeOpacity: 1, ticks }),
    Plot.axisX({ ...look, label: x, labelAnchor: 'center', ticks: 5, tickPadding: 9, labelOffset: 38 }),
    Plot.axisY({
      ...look,
      label: y,
      labelAnchor: 'top',
      ticks,
      ...(yTicks === undefined ? {} : { tickFormat: String }),
    }),
  ];
}

/** A logarithmic scale that ends near the values, and its ticks at 1, 2 and 5 of each power of ten. Values are above 0. */
export function logScale(values: readonly number[]): {
  readonly domain: [number, number];
  readonly ticks: number[];
} {
  const margin = 1.15;
  const domain: [number, number] = [Math.min(...values) / margin, Math.max(...values) * margin];
  const [first, last] = domain.map(end => Math.floor(Math.log10(end))) as [number, number];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const all = powers.flatMap(power => [1, 2, 5].map(leading => Number(`${leading}e${power}`)));
  const inside = all.filter(value => value >= domain[0] && value <= domain[1]);
  const tooMany = inside.length > 7;
  return { domain, ticks: tooMany ? inside.filter(value => Number.isInteger(Math.log10(value))) : inside };
}

/** A linear scale of round ends; values that are all the same, such as a drift of 0, get room above them. */
export function linearScale(values: readonly number[]): {
  readonly nice: true;
  readonly domain?: [number, number];
} {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? { nice: true, domain: [least, least + 0.1] } : { nice: true };
}
