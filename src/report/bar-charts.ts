/** Panels that are not about points over steps: accuracy of each set, loss curves, targets that were drawn. */
import * as Plot from '@observablehq/plot';
import { mean } from '../metrics/statistics.ts';
import { mixtureOf } from '../run/sources.ts';
import { baseName } from '../run/trainings.ts';
import { checkpointLabel, counted, withInterval } from './format.ts';
import { type Look, markOf } from './marks.ts';
import { axes, drawPanel, logScale, panelWidth } from './plot.ts';
import { lastPoint, type Point, type SetAccuracy } from './points.ts';
import type { Curriculum, LossPoint } from './results.ts';
import type { Analysis } from './rows.ts';
import { temperaturesText } from './temperatures.ts';

type Bar = SetAccuracy & { readonly training: string };

const barHeight = 10;
const setsPerPanel = 4;

/** Accuracy on each set, of the base and of every training's last point; a few sets a panel, targets first. */
export function setPanels({ base, curves, lookOf, temperatures }: Analysis): string[] {
  const points = [base, ...curves.map(lastPoint)].filter((point): point is Point => point !== null);
  const names = [...new Set(points.flatMap(({ sets }) => sets.map(({ name }) => name)))];
  const panels = Math.ceil(names.length / setsPerPanel);
  const size = Math.ceil(names.length / panels);
  const groups = Array.from({ length: names.length === 0 ? 0 : panels }, (_, i) =>
    names.slice(i * size, (i + 1) * size),
  );
  return groups.map(group => setPanel(group, points, { rows: size, lookOf, temperatures }));
}

function setPanel(
  names: readonly string[],
  points: readonly Point[],
  { rows, lookOf, temperatures }: { readonly rows: number } & Pick<Analysis, 'lookOf' | 'temperatures'>,
): string {
  const bars: Bar[] = points.flatMap(({ training, sets }) =>
    sets.filter(({ name }) => names.includes(name)).map(set => ({ ...set, training })),
  );
  const trainings = points.map(({ training }) => training);
  const longest = Math.max(...names.map(name => name.length));
  const place = { fy: 'name', y: 'training', x: 'accuracy' } as const;
  return drawPanel(`Accuracy on ${names.join(', ')}`, {
    height: 52 + rows * (trainings.length * barHeight + 14),
    marginTop: 4,
    marginLeft: Math.min(144, 28 + longest * 6.2),
    x: { domain: [0, 1] },
    y: { domain: trainings, axis: null, padding: 0.18 },
    fy: { domain: [...names], label: null, padding: 0.22 },
    marks: [
      Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1, ticks: 5 }),
      Plot.axisX({
        label: `accuracy (${temperaturesText(temperatures)})`,
        labelAnchor: 'center',
        labelArrow: 'none',
        tickSize: 0,
        ticks: 5,
      }),
      Plot.axisFy({
        label: null,
        tickSize: 0,
        tickPadding: 18,
        anchor: 'left',
        lineWidth: 11,
        textOverflow: 'ellipsis',
      }),
      Plot.barX(bars, {
        ...place,
        fill: (bar: Bar) => lookOf(bar.training).colour,
        title: (bar: Bar) => barTitle(bar, lookOf(bar.training)),
      }),
      ...trainings.map(training =>
        Plot.dot(
          bars.filter(bar => bar.training === training),
          { fy: 'name', y: 'training', x: 0, dx: -8, ...markOf(lookOf(training)), r: 3 },
        ),
      ),
      Plot.ruleY(bars, {
        fy: 'name',
        y: 'training',
        x1: (bar: Bar) => bar.interval.low,
        x2: (bar: Bar) => bar.interval.high,
        stroke: 'var(--ink)',
        strokeOpacity: 0.8,
        strokeWidth: 1,
      }),
    ],
  });
}

function barTitle({ name, role, accuracy, items, interval: ends, unfinished }: Bar, { label }: Look): string {
  const cut = unfinished === 0 ? '' : `\n${counted(unfinished, 'answer')} cut at the length limit`;
  return `${label} on ${name} (${role})\n${withInterval(accuracy, ends)} of ${counted(items, 'item')}${cut}`;
}

/** Training loss of each training, a panel each with the same axes: thin as recorded, thick as a moving mean. */
export function lossPanels({ results, lookOf }: Analysis): string[] {
  const measured = results.trainings.flatMap(({ name }) => {
    const points = thin((results.losses[name] ?? []).filter(({ loss }) => loss > 0));
    return points.length < 2 ? [] : [{ look: lookOf(name), points }];
  });
  const all = measured.flatMap(({ points }) => points);
  if (all.length === 0) return [];
  const scale = logScale(all.map(({ loss }) => loss));
  const longest = Math.max(...all.map(({ step }) => step));
  return measured.map(({ look, points }) => lossPanel(look, points, { ...scale, longest }));
}

type LossScale = ReturnType<typeof logScale> & { readonly longest: number };

function lossPanel({ label, colour }: Look, points: readonly LossPoint[], scale: LossScale): string {
  const place = { x: 'step', y: 'loss', stroke: colour } as const;
  const k = Math.max(1, Math.round(points.length / 25));
  const smooth = Plot.windowY({ k, anchor: 'middle', strict: false }, place);
  return drawPanel(`Training loss of ${label}`, {
    height: 220,
    x: { domain: [0, scale.longest], nice: true },
    y: { domain: scale.domain, type: 'log' },
    marks: [
      ...axes('optimiser steps', `${label}: loss, nats per token`, scale.ticks),
      Plot.line(points, { ...place, strokeWidth: 0.8, strokeOpacity: 0.4 }),
      Plot.line(points, { ...smooth, strokeWidth: 1.8 }),
    ],
  });
}

/** More points than pixels say nothing more. */
const mostPoints = 400;

/** Means of neighbouring points, at most `mostPoints`. */
function thin(points: readonly LossPoint[]): LossPoint[] {
  const size = Math.ceil(points.length / mostPoints);
  return Array.from({ length: Math.ceil(points.length / Math.max(1, size)) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    return { step: group.at(-1)?.step ?? 0, loss: mean(group.map(({ loss }) => loss)) };
  });
}

/** How many visits of a training each checkpoint's answers had, and gold. */
export function curriculumPanel(curriculum: Curriculum, { results, lookOf }: Analysis): string {
  const { training, visits, sources, perCheckpoint } = curriculum;
  const { label: name, colour } = lookOf(training);
  const { replaced } = mixtureOf(sources);
  const gold = lookOf(baseName).colour;
  const bars = [
    { label: 'gold', visits: sources.gold, colour: gold },
    { label: 'gold instead', visits: replaced, colour: gold },
    { label: 'other data', visits: sources.replay, colour },
    ...perCheckpoint.map(one => ({
      label: checkpointLabel(one, results.trainings),
      visits: one.visits,
      colour,
    })),
  ].filter(bar => bar.visits > 0);
  const longest = Math.max(...bars.map(({ label }) => label.length));
  return drawPanel(`Visits of ${name} by target`, {
    width: panelWidth,
    height: 54 + bars.length * 17,
    marginTop: 4,
    marginLeft: Math.max(78, Math.min(132, 14 + longest * 6.2)),
    x: { nice: true },
    y: { domain: bars.map(({ label }) => label), label: null },
    marks: [
      Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1, ticks: 4 }),
      Plot.axisX({
        label: `${name}: visits of a prompt`,
        labelAnchor: 'center',
        labelArrow: 'none',
        tickSize: 0,
        ticks: 4,
      }),
      Plot.axisY({ label: null, tickSize: 0 }),
      Plot.barX(bars, {
        x: 'visits',
        y: 'label',
        fill: 'colour',
        fillOpacity: 0.85,
        insetTop: 2,
        insetBottom: 2,
        title: bar => `${bar.label}: ${bar.visits} of ${visits} visits`,
      }),
    ],
  });
}
