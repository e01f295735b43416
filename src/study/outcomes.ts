/** What the finished cells of a study measured: points of the model that each was run for, with the items behind them. */

import { sha256OfText } from '../files/digest.ts';
import { flipsBetween } from '../metrics/retention.ts';
import type { Flipped } from '../metrics/statistics.ts';
import { endlessBound, endlessSets } from '../report/fallback-notes.ts';
import { type Gate, gateOf } from '../report/gate.ts';
import { type Curve, lastPoint, ownPoints, type Point, setsOf } from '../report/points.ts';
import { readResults } from '../report/results.ts';
import { analyse } from '../report/rows.ts';
import { withoutSets } from '../report/selection-sets.ts';
import type { EnvironmentRecord, EvaluationRecord, RunRecord, SetRecord } from '../run/records.ts';
import type { Cell } from './cells.ts';
import type { Measure } from './study-file.ts';

/** A point with the evaluation that it was made of. */
export type Measured = { readonly point: Point; readonly record: EvaluationRecord };

export type Outcome = {
  readonly cell: Cell;
  readonly base: EvaluationRecord;
  /** Of the model that the cell was run for, in order of steps. */
  readonly points: readonly Measured[];
  readonly last: Measured;
  /** The largest share of answers without an end with which retention still is measured. */
  readonly bound: number;
  readonly gate: Gate | null;
  /** Names of evaluation sets that chose a point: nothing is measured on them. */
  readonly selectionSets: readonly string[];
  /** Trainings of the run, and how many of them came from the store. */
  readonly trainings: number;
  readonly stored: number;
  readonly run: RunRecord;
  readonly environment: EnvironmentRecord | null;
};

/** Of all that have measured something, on sets that all of them report: what chooses a point in one is left out of every other, too. */
export async function outcomesOf(cells: readonly Cell[]): Promise<Outcome[]> {
  const read = async (without: readonly string[]) => {
    const outcomes: Outcome[] = [];
    for (const cell of cells) {
      const found = await outcomeOf(cell, without);
      if (found !== null) outcomes.push(found);
    }
    return outcomes;
  };
  const all = await read([]);
  const chose = [...new Set(all.flatMap(({ selectionSets }) => selectionSets))];
  return chose.length === 0 ? all : read(chose);
}

/** Null where the run measured nothing of what it was made for. `without`: sets to leave out besides those that chose a point. */
export async function outcomeOf(cell: Cell, without: readonly string[] = []): Promise<Outcome | null> {
  const analysis = analyse(withoutSets(await readResults(cell.config.output_dir), without));
  const { results, curves } = analysis;
  const curve = curves.find(({ training }) => training.name === results.made?.name);
  const base = results.evaluations.find(({ training, step }) => training === 'base' && step === 0);
  if (curve === undefined || base === undefined) return null;
  const measured = measuredIn(curve, results.evaluations);
  const find = (point: Point | null) => measured.find(one => one.point === point);
  const last = find(lastPoint(curve));
  if (last === undefined) return null;
  const trained = new Set(results.costs.filter(({ kind }) => kind === 'train').map(cost => cost.training));
  return {
    cell,
    base,
    points: measured,
    last,
    bound: endlessBound(results),
    // It changes no result, so a finished cell is not run again for it.
    gate: gateOf(analysis, cell.config.retention.max_drop),
    selectionSets: results.selectionSets,
    trainings: results.trainings.length,
    stored: results.trainings.filter(({ name }) => !trained.has(name)).length,
    run: results.run,
    environment: results.environment,
  };
}

function measuredIn(curve: Curve, evaluations: readonly EvaluationRecord[]): Measured[] {
  return ownPoints(curve).flatMap(point => {
    const record = evaluations.find(one => one.training === point.training && one.step === point.step);
    return record === undefined ? [] : [{ point, record }];
  });
}

/** `all`, or one half of the items, by a digest of their names: points are chosen on `selection` and read on `test`. */
export type Split = 'all' | 'selection' | 'test';

/** Sets of a role with the items of a split. */
export function splitSets(record: EvaluationRecord, role: SetRecord['role'], split: Split): SetRecord[] {
  const sets = setsOf(record, role);
  if (split === 'all') return sets;
  const kept = sets.map(set => ({
    ...set,
    items: set.items.filter(({ id }) => (parity(`${set.name} ${id}`) === 0) === (split === 'selection')),
  }));
  return kept.filter(({ items }) => items.length > 0);
}

function parity(name: string): number {
  return Number.parseInt(sha256OfText(name).slice(0, 8), 16) % 2;
}

/** Items gained and lost, set by set. */
export function flippedSets(before: readonly SetRecord[], after: readonly SetRecord[]): Flipped[] {
  return flipsBetween(before, after).map(({ items, wrongToRight, rightToWrong }) => ({
    gained: wrongToRight.length,
    lost: rightToWrong.length,
    items,
  }));
}

/** One number of a point; null where it was not measured. */
export function numberOf({ point }: Measured, measure: Measure): number | null {
  const numbers: Record<Measure, number | null> = {
    target: point.target?.mean ?? null,
    sampled_target: point.sampledTarget,
    retention: point.change?.mean ?? null,
    pld: point.pld.test?.nllPerToken ?? null,
    drift: point.drift,
    kl_target: point.kl.target?.perSequence ?? null,
    kl_retention: point.kl.retention?.perSequence ?? null,
    text_loss: point.textChange?.mean ?? null,
    kl_model_target: point.own?.target?.perSequence ?? null,
    kl_model_retention: point.own?.retention?.perSequence ?? null,
    entropy_target: point.own?.target?.entropyPerToken ?? null,
    entropy_retention: point.own?.retention?.entropyPerToken ?? null,
    distinct_target: point.own?.target?.distinct ?? null,
    distinct_retention: point.own?.retention?.distinct ?? null,
    gold_overlap: point.goldOverlap,
  };
  return numbers[measure];
}

/** Retention sets of which too many answers of one of these evaluations have no end: their accuracy says who stops, not who knows. */
export function doubtfulSets({ bound }: Outcome, records: readonly EvaluationRecord[]): string[] {
  return [...new Set(records.flatMap(({ sets }) => endlessSets(sets, bound)))];
}
