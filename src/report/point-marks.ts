/** How points of a training look in every panel: mark, path and what the pointer shows. */
import * as Plot from '@observablehq/plot';
import { baseName } from '../run/trainings.ts';
import { changeText } from './changes.ts';
import { fixed, withInterval } from './format.ts';
import type { Look, LookOf } from './marks.ts';
import type { Point } from './points.ts';

/** Where a point stands in a panel. */
export type Place = {
  readonly x: (point: Point) => number | null;
  readonly y: (point: Point) => number | null;
};

/** The points in order of steps, joined; the model that the training started from has its own mark. */
export function pathOf(
  lookOf: LookOf,
  { training, points }: { readonly training: string; readonly points: readonly Point[] },
  place: Place,
): Plot.Markish[] {
  const line = Plot.line(points, {
    ...place,
    stroke: lookOf(training).colour,
    strokeWidth: 1.6,
    curve: 'linear',
  });
  const [start, own] = [false, true].map(isOwn =>
    points.filter(point => (point.training === training) === isOwn),
  );
  return [line, ...dotsOf(lookOf, start ?? [], place), ...dotsOf(lookOf, own ?? [], place)];
}

/** Visible dots with the panel's paper around them, and larger ones that cannot be seen for the pointer to find. */
export function dotsOf(lookOf: LookOf, points: readonly Point[], place: Place): Plot.Markish[] {
  return [...new Set(points.map(({ training }) => training))].flatMap(training => {
    const own = points.filter(point => point.training === training);
    const look = lookOf(training);
    return [
      Plot.dot(own, { ...place, ...markOf(look) }),
      Plot.dot(own, { ...place, fill: 'transparent', r: 9, title: point => pointTitle(point, look) }),
    ];
  });
}

/** A mark as Plot's options; hollow ones show the paper within. */
export function markOf({ colour, isHollow, symbol }: Look) {
  const filled = { fill: colour, stroke: 'var(--paper)', strokeWidth: 1, r: 3.6 } as const;
  const hollow = { fill: 'var(--paper)', stroke: colour, strokeWidth: 1.6, r: 3.2 } as const;
  return { ...(isHollow ? hollow : filled), symbol };
}

function pointTitle(point: Point, { label }: Look): string {
  const { training, step, target, change, pld, drift, kl } = point;
  const lines = [
    `${label}, step ${step}`,
    target === null ? '' : `target accuracy ${withInterval(target.mean, target.interval)}`,
    change === null || training === baseName ? '' : `Δ retention ${changeText(change)}`,
    pld.heldOut === null ? '' : `PLD held-out ${fixed(pld.heldOut.nllPerToken)}, drift ${fixed(drift)}`,
    pld.train === null ? '' : `PLD training ${fixed(pld.train.nllPerToken)}`,
    kl.target === null ? '' : `KL(base‖model) target ${fixed(kl.target.perSequence, 2)} nats/sequence`,
    kl.retention === null
      ? ''
      : `KL(base‖model) retention ${fixed(kl.retention.perSequence, 2)} nats/sequence`,
  ];
  return lines.filter(line => line !== '').join('\n');
}
