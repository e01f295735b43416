/** How each training looks in tables and figures: colour and shape by its place in the order, told apart by either alone. */

import * as Plot from '@observablehq/plot';
import { baseName, type Training } from '../run/trainings.ts';
import { changeText } from './changes.ts';
import { fixed, withInterval } from './format.ts';
import type { Point } from './points.ts';

/** On light paper and on dark: the base, then trainings in their order. */
export const palette: readonly { readonly light: string; readonly dark: string }[] = [
  { light: '#77746c', dark: '#a09c93' },
  { light: '#c4511a', dark: '#ff9259' },
  { light: '#1f63a8', dark: '#6db3f2' },
  { light: '#2e7d5b', dark: '#5cc79b' },
  { light: '#65367d', dark: '#ab5fcb' },
  { light: '#9c8626', dark: '#f6bd2a' },
  { light: '#a8324f', dark: '#b85a86' },
  { light: '#2b90b0', dark: '#35a2bb' },
  { light: '#57341a', dark: '#bf763e' },
];

/** The variable of the page that has a colour of the palette in light and dark. */
export function paletteVariable(index: number): string {
  return `--mark-${index}`;
}

type Corners = readonly (readonly [number, number])[];

const square: Corners = [
  [-1, -1],
  [1, -1],
  [1, 1],
  [-1, 1],
];
const triangle: Corners = [
  [0, -1.2],
  [1.15, 0.9],
  [-1.15, 0.9],
];

/** As the palette: what a mark is drawn with, y downwards, each of about the same area; null is a circle. */
const outlines: readonly (Corners | null)[] = [
  [
    [0, -1.3],
    [1.05, 0],
    [0, 1.3],
    [-1.05, 0],
  ],
  null,
  triangle,
  square.map(([x, y]) => [0.88 * x, 0.88 * y]),
  triangle.map(([x, y]) => [x, -y]),
  spokes(5, [0.6, 1.45]),
  cross(0),
  cross(Math.PI / 4),
  [
    [-1.05, -1.05],
    [1.05, -1.05],
    [-1.05, 1.05],
    [1.05, 1.05],
  ],
];

/** A star of so many points, the inner and the outer radius given. */
function spokes(count: number, radii: readonly [number, number]): Corners {
  return Array.from({ length: 2 * count }, (_, i) => {
    const [angle, radius] = [(Math.PI * i) / count, radii[(i + 1) % 2] ?? 1];
    return [radius * Math.sin(angle), -radius * Math.cos(angle)];
  });
}

/** Two bars across each other, turned by an angle. */
function cross(angle: number): Corners {
  const [thin, long] = [0.42, 1.3];
  const arm: Corners = [
    [thin, -thin],
    [thin, -long],
    [-thin, -long],
  ];
  return [0, 1, 2, 3].flatMap(quarter => {
    const turn = angle - (Math.PI / 2) * quarter;
    const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
    return arm.map(([x, y]): [number, number] => [x * cos - y * sin, x * sin + y * cos]);
  });
}

/** The part of a canvas that marks need. */
type Pen = {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  arc(x: number, y: number, radius: number, from: number, to: number): void;
  closePath(): void;
};

/** Where there are more trainings than colours, they begin again with hollow marks, and then anew. */
export type Look = {
  readonly name: string;
  readonly label: string;
  /** As CSS. */
  readonly colour: string;
  readonly isHollow: boolean;
  /** Draws the mark with the area of a circle of this size, around 0 0. */
  readonly symbol: { draw(pen: Pen, size: number): void };
};

export type LookOf = (training: string) => Look;

/** The look of each training by its name. Throws for a name that the run does not have. */
export function looksOf(trainings: readonly Training[]): LookOf {
  const colours = palette.length - 1;
  const looks = new Map([[baseName, lookAt({ name: baseName, label: baseName }, 0, false)]]);
  trainings.forEach((training, i) => {
    looks.set(training.name, lookAt(training, 1 + (i % colours), Math.floor(i / colours) % 2 === 1));
  });
  return name => {
    const look = looks.get(name);
    if (look === undefined) throw new Error(`there is no training ${name} in this run`);
    return look;
  };
}

function lookAt({ name, label }: Pick<Training, 'name' | 'label'>, index: number, isHollow: boolean): Look {
  const corners = outlines[index] ?? null;
  const symbol = {
    draw: (pen: Pen, size: number) => drawMark(pen, corners, Math.sqrt(size / Math.PI)),
  };
  return { name, label, colour: `var(${paletteVariable(index)})`, isHollow, symbol };
}

function drawMark(pen: Pen, corners: Corners | null, radius: number): void {
  if (corners === null) pen.arc(0, 0, radius, 0, 2 * Math.PI);
  corners?.forEach(([x, y], i) => {
    if (i === 0) pen.moveTo(x * radius, y * radius);
    else pen.lineTo(x * radius, y * radius);
  });
  pen.closePath();
}

// How points of a training look in every panel: mark, path and what the pointer shows.

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
    pld.test === null ? '' : `PLD test ${fixed(pld.test.nllPerToken)}, drift ${fixed(drift)}`,
    pld.train === null ? '' : `PLD training ${fixed(pld.train.nllPerToken)}`,
    kl.target === null ? '' : `KL(base‖model) target ${fixed(kl.target.perSequence, 2)} nats/sequence`,
    kl.retention === null
      ? ''
      : `KL(base‖model) retention ${fixed(kl.retention.perSequence, 2)} nats/sequence`,
  ];
  return lines.filter(line => line !== '').join('\n');
}
