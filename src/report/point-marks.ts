/** How points of a training look in every panel: colour, shape, path and what the pointer shows. */
import * as Plot from '@observablehq/plot';
import { changeText } from './changes.ts';
import { fixed, type ModelName, modelLabels, withInterval } from './format.ts';
import type { Point } from './points.ts';

/** Colour and shape of each model in all figures: told apart without colour too. */
export const marks: Readonly<
  Record<
    ModelName,
    { readonly colour: string; readonly symbol: 'diamond' | 'circle' | 'square' | 'triangle' }
  >
> = {
  base: { colour: 'var(--base)', symbol: 'diamond' },
  sft: { colour: 'var(--sft)', symbol: 'circle' },
  control: { colour: 'var(--control)', symbol: 'square' },
  student: { colour: 'var(--student)', symbol: 'triangle' },
};

/** Where a point stands in a panel. */
export type Place = {
  readonly x: (point: Point) => number | null;
  readonly y: (point: Point) => number | null;
};

/** The points in order of steps, joined. */
export function pathOf(model: ModelName, points: readonly Point[], place: Place): Plot.Markish[] {
  const line = Plot.line(points, {
    ...place,
    stroke: marks[model].colour,
    strokeWidth: 1.6,
    curve: 'linear',
  });
  const own = points.filter(point => point.model === model);
  const start = points.filter(point => point.model !== model);
  return [
    line,
    ...dotsOf(
      'base',
      start.filter(({ model: from }) => from === 'base'),
      place,
    ),
    ...dotsOf(model, own, place),
  ];
}

/** A visible dot with the panel's paper around it, and a larger one that cannot be seen for the pointer to find. */
export function dotsOf(model: ModelName, points: readonly Point[], place: Place): Plot.Markish[] {
  const { colour: fill, symbol } = marks[model];
  return [
    Plot.dot(points, { ...place, fill, symbol, r: 3.6, stroke: 'var(--paper)', strokeWidth: 1 }),
    Plot.dot(points, { ...place, fill: 'transparent', r: 9, title: pointTitle }),
  ];
}

function pointTitle(point: Point): string {
  const { model, step, target, change, pld, drift, kl } = point;
  const lines = [
    `${modelLabels[model]}, step ${step}`,
    target === null ? '' : `target accuracy ${withInterval(target.mean, target.interval)}`,
    change === null || model === 'base' ? '' : `Δ retention ${changeText(change)}`,
    pld.heldOut === null ? '' : `PLD held-out ${fixed(pld.heldOut.nllPerToken)}, drift ${fixed(drift)}`,
    pld.train === null ? '' : `PLD training ${fixed(pld.train.nllPerToken)}`,
    kl.target === null ? '' : `KL(base‖model) target ${fixed(kl.target.perSequence, 2)} nats/sequence`,
    kl.retention === null
      ? ''
      : `KL(base‖model) retention ${fixed(kl.retention.perSequence, 2)} nats/sequence`,
  ];
  return lines.filter(line => line !== '').join('\n');
}
