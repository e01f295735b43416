/** The figures of a study: every replicate is a point, means have intervals. */
import * as Plot from '@observablehq/plot';
import type { Estimate } from '../metrics/replicates.ts';
import { signed } from '../report/format.ts';
import { type LookOf, looksOf, markOf } from '../report/marks.ts';
import { axes, drawPanel, linearScale } from '../report/plot.ts';
import type { Training } from '../run/trainings.ts';
import type { MethodRow, Study } from './analysis.ts';
import { placeText, settingsText } from './cells.ts';

/** How each method looks. */
export function methodLooks(study: Study): LookOf {
  const names = [...new Set(study.methods.map(({ method }) => method))];
  const look = (name: string): Training => ({
    name,
    label: name,
    role: 'method',
    needs: [],
    startsFrom: 'base',
    trainsOn: null,
    goldShare: null,
  });
  return looksOf(names.map(look));
}

/** Target accuracy against Δ retention at the end of equal recipes: small marks are replicates, large ones means. */
export function endPanel(study: Study, lookOf: LookOf): string | null {
  const cells = study.cells.filter(({ target, retention }) => target !== null && retention !== null);
  if (cells.length === 0) return null;
  const place = { x: 'target', y: 'retention' } as const;
  const methods = [...new Set(cells.map(({ method }) => method))];
  const small = methods.flatMap(method => {
    const own = cells.filter(cell => cell.method === method);
    const look = { ...markOf(lookOf(method)), r: 2.8, fillOpacity: 0.7, strokeWidth: 0.6 };
    return [
      Plot.dot(own, { ...place, ...look }),
      Plot.dot(own, {
        ...place,
        fill: 'transparent',
        r: 7,
        title: one => `${placeText(one)}\ntarget ${one.target}\nΔ retention ${signed(one.retention)}`,
      }),
    ];
  });
  return drawPanel('Target accuracy against change of retention, end of equal recipes', {
    height: 320,
    x: { nice: true, inset: 8 },
    y: { ...linearScale([0, ...cells.map(({ retention }) => retention ?? 0)]), inset: 6 },
    marks: [
      ...axes('target accuracy', 'Δ retention'),
      Plot.ruleY([0], { stroke: 'var(--rule)' }),
      ...small,
      ...study.methods.flatMap(row => meanMarks(row, lookOf)),
    ],
  });
}

function meanMarks({ method, recipe, measures, replicates }: MethodRow, lookOf: LookOf): Plot.Markish[] {
  const { target, retention } = measures;
  if (target === null || retention === null) return [];
  const look = lookOf(method);
  const text = [method, settingsText(recipe)].filter(Boolean).join(', ');
  const point = { x: target.mean, y: retention.mean, title: `${text}: mean of ${replicates}` };
  return [
    Plot.dot([point], { x: 'x', y: 'y', ...markOf(look), r: 5.2 }),
    Plot.dot([point], { x: 'x', y: 'y', fill: 'transparent', r: 9, title: 'title' }),
  ];
}

/** Δ retention on the test split at equal target accuracy, with intervals; methods stand beside each other at each accuracy. */
export function matchedPanel(study: Study, lookOf: LookOf): string | null {
  const methods = [...new Set(study.methods.map(({ method }) => method))];
  const width = 0.03 / Math.max(1, methods.length);
  const points = study.matched.flatMap(({ accuracy, rows }) =>
    rows.flatMap(({ method, retention, reached, replicates }) => {
      if (retention === null) return [];
      const shift = (methods.indexOf(method) - (methods.length - 1) / 2) * width;
      const title = `${method} at ${accuracy}: ${signed(retention.mean)}, ${reached} of ${replicates}`;
      return [{ method, x: accuracy + shift, y: retention.mean, ...ends(retention), title }];
    }),
  );
  if (points.length === 0) return null;
  return drawPanel('Change of retention at equal target accuracy', {
    height: 320,
    x: { inset: 14, ticks: study.matched.map(({ accuracy }) => accuracy) },
    y: { ...linearScale([0, ...points.map(({ y }) => y)]), inset: 6 },
    marks: [
      ...axes('target accuracy reached (selection split)', 'Δ retention (test split)'),
      Plot.ruleY([0], { stroke: 'var(--rule)' }),
      ...methods.flatMap(method => {
        const own = points.filter(point => point.method === method);
        const look = lookOf(method);
        return [
          Plot.ruleX(own, {
            x: 'x',
            y1: 'low',
            y2: 'high',
            stroke: look.colour,
            strokeOpacity: 0.6,
            clip: true,
          }),
          Plot.dot(own, { x: 'x', y: 'y', ...markOf(look) }),
          Plot.dot(own, { x: 'x', y: 'y', fill: 'transparent', r: 9, title: 'title' }),
        ];
      }),
    ],
  });
}

function ends({ mean, interval }: Estimate): { low: number; high: number } {
  return { low: interval?.low ?? mean, high: interval?.high ?? mean };
}
