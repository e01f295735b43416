/** Panels that are not about points over steps: accuracy of each set, loss curves, what the student trained on. */
import * as Plot from '@observablehq/plot';
import { mean } from '../metrics/statistics.ts';
import { mixtureOf } from '../run/mixture.ts';
import { counted, type ModelName, modelLabels, withInterval } from './format.ts';
import { axes, drawPanel, logScale, panelWidth } from './plot.ts';
import { marks } from './point-marks.ts';
import { lastPoint, type Point, type SetAccuracy } from './points.ts';
import type { Curriculum, LossPoint, Results } from './results.ts';
import type { Analysis } from './rows.ts';

type Bar = SetAccuracy & { readonly model: ModelName };

const barHeight = 10;
const setsPerPanel = 4;

/** Accuracy on each set, of the base and of every training's last point; a few sets a panel, targets first. */
export function setPanels({ base, curves }: Analysis): string[] {
  const points = [base, ...curves.map(lastPoint)].filter((point): point is Point => point !== null);
  const names = [...new Set(points.flatMap(({ sets }) => sets.map(({ name }) => name)))];
  const panels = Math.ceil(names.length / setsPerPanel);
  const size = Math.ceil(names.length / panels);
  const groups = Array.from({ length: names.length === 0 ? 0 : panels }, (_, i) =>
    names.slice(i * size, (i + 1) * size),
  );
  return groups.map(group => setPanel(group, points, size));
}

function setPanel(names: readonly string[], points: readonly Point[], rows: number): string {
  const bars: Bar[] = points.flatMap(({ model, sets }) =>
    sets.filter(({ name }) => names.includes(name)).map(set => ({ ...set, model })),
  );
  const models = points.map(({ model }) => model);
  const longest = Math.max(...names.map(name => name.length));
  const place = { fy: 'name', y: 'model', x: 'accuracy' } as const;
  return drawPanel(`Accuracy on ${names.join(', ')}`, {
    height: 52 + rows * (models.length * barHeight + 14),
    marginTop: 4,
    marginLeft: Math.min(132, 14 + longest * 6.2),
    x: { domain: [0, 1] },
    y: { domain: models, axis: null, padding: 0.18 },
    fy: { domain: [...names], label: null, padding: 0.22 },
    marks: [
      Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1, ticks: 5 }),
      Plot.axisX({
        label: 'accuracy (greedy)',
        labelAnchor: 'center',
        labelArrow: 'none',
        tickSize: 0,
        ticks: 5,
      }),
      Plot.axisFy({ label: null, tickSize: 0, anchor: 'left', lineWidth: 11, textOverflow: 'ellipsis' }),
      Plot.barX(bars, { ...place, fill: (bar: Bar) => marks[bar.model].colour, title: barTitle }),
      Plot.ruleY(bars, {
        fy: 'name',
        y: 'model',
        x1: (bar: Bar) => bar.interval.low,
        x2: (bar: Bar) => bar.interval.high,
        stroke: 'var(--ink)',
        strokeOpacity: 0.8,
        strokeWidth: 1,
      }),
    ],
  });
}

function barTitle({ model, name, role, accuracy, items, interval: ends, unfinished }: Bar): string {
  const cut = unfinished === 0 ? '' : `\n${counted(unfinished, 'answer')} cut at the length limit`;
  return `${modelLabels[model]} on ${name} (${role})\n${withInterval(accuracy, ends)} of ${counted(items, 'item')}${cut}`;
}

/** Training loss of each stage, a panel each with the same axes: thin as recorded, thick as a moving mean. */
export function lossPanels({ losses }: Results): string[] {
  const stages = (['sft', 'control', 'student'] as const).flatMap(stage => {
    const points = thin((losses[stage] ?? []).filter(({ loss }) => loss > 0));
    return points.length < 2 ? [] : [{ stage, points }];
  });
  const all = stages.flatMap(({ points }) => points);
  if (all.length === 0) return [];
  const scale = logScale(all.map(({ loss }) => loss));
  const longest = Math.max(...all.map(({ step }) => step));
  return stages.map(({ stage, points }) => lossPanel(stage, points, { ...scale, longest }));
}

type LossScale = ReturnType<typeof logScale> & { readonly longest: number };

function lossPanel(
  stage: 'sft' | 'control' | 'student',
  points: readonly LossPoint[],
  scale: LossScale,
): string {
  const place = { x: 'step', y: 'loss', stroke: marks[stage].colour } as const;
  const k = Math.max(1, Math.round(points.length / 25));
  const smooth = Plot.windowY({ k, anchor: 'middle', strict: false }, place);
  return drawPanel(`Training loss of ${modelLabels[stage]}`, {
    height: 220,
    x: { domain: [0, scale.longest], nice: true },
    y: { domain: scale.domain, type: 'log' },
    marks: [
      ...axes('optimiser steps', `${modelLabels[stage]}: loss, nats per token`, scale.ticks),
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

/** How many visits of the student's training each checkpoint's answers had, and gold. */
export function curriculumPanel({ visits, sources, perCheckpoint }: Curriculum): string {
  const { replaced } = mixtureOf(sources);
  const bars = [
    { label: 'gold', visits: sources.gold, colour: 'var(--base)' },
    ...(replaced === 0 ? [] : [{ label: 'gold instead', visits: replaced, colour: 'var(--base)' }]),
    ...perCheckpoint.map(one => ({
      label: `step ${one.checkpointStep}`,
      visits: one.visits,
      colour: 'var(--student)',
    })),
  ];
  return drawPanel('Visits of the student’s training by target', {
    width: panelWidth,
    height: 54 + bars.length * 17,
    marginTop: 4,
    marginLeft: 78,
    x: { nice: true },
    y: { domain: bars.map(({ label }) => label), label: null },
    marks: [
      Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1, ticks: 4 }),
      Plot.axisX({
        label: 'visits of a prompt',
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
