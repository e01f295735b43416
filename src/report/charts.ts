/** The panels of the report's figures. Every function gives SVG, or null where there is nothing to draw. */
import * as Plot from '@observablehq/plot';
import { dotsOf, type LookOf, type Place, pathOf } from './marks.ts';
import { axes, drawPanel, linearScale, logScale, panelHeight } from './plot.ts';
import { type Curve, ownPoints, type Point } from './points.ts';
import type { Analysis } from './rows.ts';

/** Target accuracy against Δ retention, a path over steps for each training. */
export function accuracyRetentionPanel({ base, curves, lookOf, temperatures }: Analysis): string | null {
  const paths = curves.map(curve => ({ ...curve, points: curve.points.filter(isOnPlane) }));
  if (paths.every(({ points }) => points.length === 0)) return null;
  const ends = paths.flatMap(({ points }) => points.slice(-1));
  return drawPanel('Target accuracy against change of retention', {
    height: 300,
    x: { nice: true, inset: 8 },
    y: { ...linearScale([0, ...ends.map(({ change }) => change?.interval.low ?? 0)]), inset: 6 },
    marks: [
      ...axes(`target accuracy (${temperatures.target})`, 'Δ retention'),
      Plot.ruleY([0], { stroke: 'var(--rule)' }),
      ...ends.flatMap(end => crossOf(lookOf, end)),
      ...paths.flatMap(path => pathOf(lookOf, named(path), onPlane)),
      ...(base === null || !isOnPlane(base) ? [] : dotsOf(lookOf, [base], onPlane)),
      ...stepLabels(lookOf, paths, onPlane),
    ],
  });
}

/** A value of each point over steps, one line a training. */
export type OverSteps = {
  readonly label: string;
  readonly y: string;
  readonly measure: (point: Point) => number | null;
  /** Ends of its interval, drawn as a band. */
  readonly bandOf?: (point: Point) => { readonly low: number; readonly high: number } | null;
  /** A second value of the same unit, drawn dashed. */
  readonly dashedOf?: (point: Point) => number | null;
  readonly height?: number;
  readonly isLogarithmic?: boolean;
  readonly isSigned?: boolean;
};

/** What panels are drawn of. */
export type Drawn = Pick<Analysis, 'curves' | 'lookOf'>;

/** One measure over optimiser steps. */
export function overStepsPanel({ curves, lookOf }: Drawn, what: OverSteps): string | null {
  const { label, y, measure, bandOf, dashedOf, isLogarithmic = false, isSigned = false } = what;
  const measured = curves
    .map(curve => ({
      ...curve,
      points: curve.points.filter(point => isDrawable(measure(point), isLogarithmic)),
    }))
    .filter(({ points }) => points.length > 0);
  if (measured.length === 0) return null;
  const values = measured.flatMap(({ points }) => points.map(point => measure(point) ?? 0));
  const ends = measured.flatMap(({ points }) => points.map(point => bandOf?.(point)?.low ?? values[0] ?? 0));
  const log = isLogarithmic ? logScale(values) : null;
  const bandLook = { fillOpacity: Math.min(0.13, 0.4 / measured.length) };
  const place = (of: (point: Point) => number | null) => ({ x: (point: Point) => point.step, y: of });
  return drawPanel(label, {
    height: what.height ?? panelHeight,
    x: { nice: true },
    y:
      log === null
        ? { ...linearScale([...values, ...ends]), zero: isSigned }
        : { type: 'log', domain: log.domain },
    marks: [
      ...axes('optimiser steps', y, log?.ticks),
      ...(isSigned ? [Plot.ruleY([0], { stroke: 'var(--rule)' })] : []),
      ...measured.flatMap(({ training, points }) =>
        bandOf === undefined
          ? []
          : bandMark(points, bandOf, { ...bandLook, fill: lookOf(training.name).colour }),
      ),
      ...measured.flatMap(({ training, points }) =>
        dashedOf === undefined ? [] : dashedLine(lookOf(training.name).colour, points, place(dashedOf)),
      ),
      ...measured.flatMap(curve => pathOf(lookOf, named(curve), place(measure))),
    ],
  });
}

/** Something of the points against forgetting = −Δ retention; the base is left out, it is 0 by definition. */
export function forgettingPanel(
  { curves, lookOf }: Drawn,
  x: string,
  measure: (point: Point) => number | null,
): string | null {
  const place = { x: measure, y: (point: Point) => -(point.change?.mean ?? 0) };
  const points = curves.flatMap(ownPoints).filter(point => point.change !== null && measure(point) !== null);
  if (points.length === 0) return null;
  return drawPanel(`${x} against forgetting`, {
    x: {
      ...linearScale(points.map(point => place.x(point) ?? 0)),
      inset: 6,
      zero: true,
    },
    y: {
      ...linearScale(points.map(point => place.y(point))),
      inset: 6,
      zero: true,
    },
    marks: [...axes(x, 'forgetting (−Δ retention)'), ...dotsOf(lookOf, points, place)],
  });
}

const onPlane: Place = { x: point => point.target?.mean ?? null, y: point => point.change?.mean ?? null };

function named({ training, points }: Curve) {
  return { training: training.name, points };
}

function isOnPlane(point: Point): boolean {
  return point.target !== null && point.change !== null;
}

function isDrawable(value: number | null, isLogarithmic: boolean): boolean {
  return value !== null && (!isLogarithmic || value > 0);
}

function dashedLine(stroke: string, points: readonly Point[], place: Place): Plot.Markish[] {
  const measured = points.filter(point => place.y(point) !== null);
  return [Plot.line(measured, { ...place, stroke, strokeWidth: 1.2, strokeDasharray: '4,3' })];
}

function bandMark(
  points: readonly Point[],
  bandOf: NonNullable<OverSteps['bandOf']>,
  look: { readonly fill: string; readonly fillOpacity: number },
): Plot.Markish[] {
  const ends = {
    x: (point: Point) => point.step,
    y1: (point: Point) => bandOf(point)?.low,
    y2: (point: Point) => bandOf(point)?.high,
  };
  return [
    Plot.areaY(
      points.filter(point => bandOf(point) !== null),
      { ...ends, ...look },
    ),
  ];
}

/** The intervals of both coordinates. */
function crossOf(lookOf: LookOf, point: Point): Plot.Markish[] {
  const { target, change, training } = point;
  if (target === null || change === null) return [];
  const look = { stroke: lookOf(training).colour, strokeWidth: 1.2, strokeOpacity: 0.65 };
  const vertical = { x: target.mean, y1: change.interval.low, y2: change.interval.high };
  const horizontal = { y: change.mean, x1: target.interval.low, x2: target.interval.high };
  return [
    Plot.ruleX([vertical], { x: 'x', y1: 'y1', y2: 'y2', ...look }),
    Plot.ruleY([horizontal], { y: 'y', x1: 'x1', x2: 'x2', ...look }),
  ];
}

/** Labels nearer than this share of the panel to one another would run together. */
const labelDistance = 0.09;

/** Steps of the points, last points first, leaving out those that would cover another label. */
function stepLabels(lookOf: LookOf, paths: readonly Curve[], place: Place): Plot.Markish[] {
  const points = paths.flatMap(path => ownPoints(path).toReversed());
  const last = points.filter(point => paths.some(path => path.points.at(-1) === point));
  const places = [...new Set([...last, ...points])].map(point => ({
    point,
    x: place.x(point) ?? 0,
    y: place.y(point) ?? 0,
  }));
  const [width, height] = [extent(places.map(({ x }) => x)), extent(places.map(({ y }) => y))];
  const shown: typeof places = [];
  for (const label of places) {
    const isFree = shown.every(
      ({ x, y }) => Math.hypot((x - label.x) / width, (y - label.y) / height) > labelDistance,
    );
    if (isFree) shown.push(label);
  }
  return shown.map(({ point }) =>
    Plot.text([point], {
      ...place,
      text: one => String(one.step),
      fill: lookOf(point.training).colour,
      fontSize: 9.5,
      dx: 6,
      dy: -8,
      textAnchor: 'start',
      stroke: 'var(--paper)',
      strokeWidth: 3,
    }),
  );
}

function extent(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values) || 1;
}
