/** The figures of the report: which panels, and a caption that says what was measured on how many items. */
import { type DriftCorrelation, driftCorrelation } from '../metrics/pld-drift.ts';
import { curriculumPanel, lossPanels, setPanels } from './bar-charts.ts';
import { intervalNote } from './changes.ts';
import { accuracyRetentionPanel, forgettingPanel, overStepsPanel } from './charts.ts';
import { distance } from './distance-figure.ts';
import { type Figure, lettered } from './figure.ts';
import { counted, dash, fixed } from './format.ts';
import { lastPoint, ownPoints, type Point } from './points.ts';
import type { Analysis } from './rows.ts';
import { curriculumSentences } from './summary.ts';
import { temperaturesText } from './temperatures.ts';

/** All figures that have something to show, in the order of the report. */
export function makeFigures(analysis: Analysis): Figure[] {
  const figures = [
    accuracyAndRetention(analysis),
    divergence(analysis),
    accuracyOfSets(analysis),
    distance(analysis),
    driftAndForgetting(analysis),
    losses(analysis),
    curriculum(analysis),
  ];
  return figures.filter(({ panels }) => panels.length > 0);
}

function accuracyAndRetention(analysis: Analysis): Figure {
  const plane = accuracyRetentionPanel(analysis);
  const target = overStepsPanel(analysis, {
    label: 'Target accuracy over steps',
    y: 'target accuracy',
    measure: point => point.target?.mean ?? null,
    bandOf: point => point.target?.interval ?? null,
    dashedOf: point => point.sampledTarget,
    height: 300,
  });
  const retention = overStepsPanel(analysis, {
    label: 'Change of retention over steps',
    y: 'Δ retention',
    measure: point => point.change?.mean ?? null,
    bandOf: point => point.change?.interval ?? null,
    height: 300,
    isSigned: true,
  });
  const dashed = hasSampled(analysis) ? '; dashed: answers sampled at temperature 1' : '';
  const { target: accuracy, change } = somePoint(analysis) ?? {};
  const measures = [
    ...(accuracy
      ? [
          `Target accuracy: ${sampledAnswers(analysis)} to ${counted(accuracy.items, 'target item')}, ${accuracy.sets === 1 ? 'Wilson 95 % interval' : 'the outer one of Wilson’s and a bootstrap’s 95 % interval'}.`,
        ]
      : []),
    ...(change
      ? [
          `Δ retention: accuracy minus that of the base, mean over sets, ${counted(change.items, 'item')} in ${counted(change.sets, 'retention set')}, ${intervalNote}.`,
        ]
      : []),
  ];
  return {
    id: 'accuracy-retention',
    title: 'Accuracy and retention',
    shortTitle: 'Accuracy and retention',
    legend: 'all',
    ...lettered(
      [
        {
          panel: plane,
          text: 'every recorded point of every training, joined in order of steps (numbers), with both intervals at the last point.',
        },
        { panel: target, text: `target accuracy over steps with its interval${dashed}.` },
        { panel: retention, text: 'Δ retention over steps with its interval.' },
      ],
      { after: measures.join(' ') },
    ),
  };
}

function sampledAnswers({ temperatures: { target } }: Analysis): string {
  return target === 'greedy' ? 'greedy answers' : `answers at ${target}`;
}

function divergence(analysis: Analysis): Figure {
  const { curves, base } = analysis;
  const panel = (split: 'test' | 'train', name: string) =>
    overStepsPanel(analysis, {
      label: `PLD on ${name} prompts over steps`,
      y: `PLD, ${name} (log scale)`,
      measure: point => point.pld[split]?.nllPerToken ?? null,
      isLogarithmic: true,
    });
  const drift = overStepsPanel(analysis, {
    label: 'Drift of test PLD over steps',
    y: 'drift of test PLD',
    measure: point => point.drift,
  });
  const splits = base?.pld ?? curves[0]?.points[0]?.pld;
  const size = (split: 'test' | 'train') => counted(splits?.[split]?.examples ?? 0, 'example');
  return {
    id: 'pld',
    title: 'Policy–label divergence',
    shortTitle: 'PLD',
    legend: 'all',
    ...lettered(
      [
        { panel: panel('test', 'test'), text: `on ${size('test')} that were held out.` },
        {
          panel: panel('train', 'training'),
          text: `on ${size('train')} of the training set, which are other prompts.`,
        },
        {
          panel: drift,
          text: 'drift: test PLD minus its lowest point so far, from the model that the training started from.',
        },
      ],
      {
        before:
          'PLD is the negative log-likelihood of the gold completions (with end token) in nats per token,',
        after: 'Read the splits apart: drift is of test PLD alone.',
      },
    ),
  };
}

function accuracyOfSets(analysis: Analysis): Figure {
  const sets = somePoint(analysis)?.sets ?? [];
  const sizes = [...new Set(sets.map(({ items }) => items))].sort((a, b) => a - b);
  const perSet =
    sizes.length === 1 ? `${sizes[0]} items each` : `${sizes[0] ?? 0} to ${sizes.at(-1) ?? 0} items`;
  const targets = sets.filter(({ role }) => role === 'target').map(({ name }) => name);
  const roles =
    targets.length === 0
      ? 'All measure retention.'
      : `Target: ${targets.join(', ')}; the others measure retention.`;
  return {
    id: 'sets',
    title: 'Accuracy on each set',
    shortTitle: 'Each set',
    legend: 'all',
    panels: setPanels(analysis),
    caption: `Base and the last point of every training, ${temperaturesText(analysis.temperatures)} or by log-likelihood; ${perSet}; whiskers are Wilson 95 % intervals over items. ${roles}`,
  };
}

function driftAndForgetting(analysis: Analysis): Figure {
  const correlations = analysis.curves.flatMap(curve => {
    const measured = ownPoints(curve).flatMap(({ step, drift, change }) =>
      drift === null || change === null ? [] : [{ step, drift, forgetting: -change.mean }],
    );
    return measured.length < 3
      ? []
      : [`${curve.training.label} ${correlationText(driftCorrelation(measured))}`];
  });
  const numbers =
    correlations.length === 0
      ? 'Fewer than three points a training: no correlation is given.'
      : `Within a training: ${correlations.join('; ')}.`;
  const drift = forgettingPanel(analysis, 'drift of test PLD', point => point.drift);
  return {
    id: 'drift',
    title: 'Drift against forgetting',
    shortTitle: 'Drift and forgetting',
    legend: 'trained',
    ...lettered(
      [
        { panel: drift, text: 'against drift of test PLD;' },
        {
          panel: drift === null ? null : forgettingPanel(analysis, 'optimiser steps', point => point.step),
          text: 'against the mere step number, for comparison.',
        },
      ],
      {
        before: 'Forgetting is −Δ retention; one mark a recorded point,',
        after: `Caution: drift and forgetting both grow with time, so they go together whether or not one tells of the other. ${numbers} Points of one training are not independent of each other.`,
      },
    ),
  };
}

function correlationText({ count, pearson, spearman, stepPearson }: DriftCorrelation): string {
  const text = (value: number | null) => (value === null ? dash : fixed(value, 2));
  return `Pearson ${text(pearson)}, Spearman ${text(spearman)}, step number instead of drift ${text(stepPearson)} (${count} points)`;
}

function losses(analysis: Analysis): Figure {
  const panels = lossPanels(analysis);
  const { trainings, losses: measured } = analysis.results;
  const targets = trainings
    .filter(({ name, trainsOn }) => trainsOn !== null && (measured[name]?.length ?? 0) > 0)
    .map(({ label, trainsOn }) => `${label} on ${trainsOn}`);
  const note =
    panels.length < 2
      ? ''
      : ' Levels cannot be compared between panels where targets differ: the entropy of answers that were sampled is a floor.';
  return {
    id: 'loss',
    title: 'Training loss',
    shortTitle: 'Loss',
    legend: 'none',
    panels,
    caption: `Loss of each step (thin) and its moving mean (thick), nats per token, log scale.${targets.length === 0 ? '' : ` Trained: ${targets.join('; ')}.`}${note}`,
  };
}

function curriculum(analysis: Analysis): Figure {
  const { results } = analysis;
  return {
    id: 'curriculum',
    title: 'Targets that were drawn',
    shortTitle: 'Targets',
    legend: 'none',
    panels: results.curricula.map(one => curriculumPanel(one, analysis)),
    caption: `Visits of a prompt by their target: gold, or the answer of a checkpoint. ${curriculumSentences(results).join(' ')}`,
  };
}

function hasSampled({ base, curves }: Analysis): boolean {
  return [base, ...curves.flatMap(({ points }) => points)].some(
    point => (point?.sampledTarget ?? null) !== null,
  );
}

function somePoint({ base, curves }: Analysis): Point | null {
  return curves.map(lastPoint).find(point => point !== null) ?? base;
}
