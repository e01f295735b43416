/** The rows of the final table. Pure; nothing formatted. */
import type { Accuracy, Change } from '../metrics/retention.ts';
import { basePoint, bestPoint, type Curve, curvesOf, lastPoint, type Point, type Trained } from './points.ts';
import type { Results } from './results.ts';

/** What a model cost: tokens trained on and sampled, and seconds of both; without evaluation, loading and saving. */
export type RowCost = {
  readonly trainTokens: number;
  readonly sampledTokens: number;
  readonly seconds: number;
  /** `share`: the part of the steps up to a point before the end. `partial`: a stage was taken from the store, its cost is not here. */
  readonly precision: 'measured' | 'share' | 'partial';
};

/** `last`: end of training; `best`: recorded point with the highest target accuracy, chosen on the very items it is reported on. */
export type ResultRow = {
  readonly model: Point['model'];
  readonly kind: 'base' | 'last' | 'best';
  readonly step: number;
  readonly target: Accuracy | null;
  readonly sampledTarget: number | null;
  readonly change: Change | null;
  readonly pld: number | null;
  readonly drift: number | null;
  /** Nats per sequence, KL(base‖model). */
  readonly klTarget: number | null;
  readonly klRetention: number | null;
  readonly cost: RowCost | null;
};

/** A run with what was computed from it: everything that tables, figures and text are made of. */
export type Analysis = {
  readonly results: Results;
  readonly base: Point | null;
  readonly curves: readonly Curve[];
  readonly rows: readonly ResultRow[];
};

/** Points, curves and rows of a run: base; SFT, last and best; the control; TMS, last and best; those that were measured. */
export function analyse(results: Results): Analysis {
  const base = basePoint(results);
  const curves = curvesOf(results);
  const baseRows = base === null ? [] : [rowOf(base, 'base', null)];
  return { results, base, curves, rows: [...baseRows, ...curves.flatMap(curve => rowsOf(curve, results))] };
}

/** No second row for a best point that is the last one, and none for the control. */
function rowsOf(curve: Curve, results: Results): ResultRow[] {
  const [last, best] = [lastPoint(curve), bestPoint(curve)];
  if (last === null) return [];
  const row = rowOf(last, 'last', costAt(results, curve, last));
  if (best === null || best === last || curve.model === 'control') return [row];
  return [row, rowOf(best, 'best', costAt(results, curve, best))];
}

function rowOf(point: Point, kind: ResultRow['kind'], cost: RowCost | null): ResultRow {
  const { model, step, target, sampledTarget, change, pld, drift, kl } = point;
  return {
    model,
    kind,
    step,
    target,
    sampledTarget,
    change: kind === 'base' ? null : change,
    pld: pld.heldOut?.nllPerToken ?? null,
    drift: kind === 'base' ? null : drift,
    klTarget: kl.target?.perSequence ?? null,
    klRetention: kl.retention?.perSequence ?? null,
    cost,
  };
}

/** A student needs the SFT run and the answers of its checkpoints; the control needs answers of the base. Null without timings. */
function costAt({ costs }: Results, { model, points }: Curve, { step }: Point): RowCost | null {
  const share = step / (points.at(-1)?.step ?? step);
  const own = costs.filter(({ kind, stage }) => kind === 'train' && stage === model);
  const before = costs.filter(({ kind, stage }) => isNeededBefore(model, kind, stage));
  if (own.length === 0) return null;
  const tokens = (kind: 'train' | 'answer', list: typeof costs) =>
    list.filter(cost => cost.kind === kind).reduce((sum, cost) => sum + cost.tokens, 0);
  const seconds = (list: typeof costs) => list.reduce((sum, cost) => sum + cost.seconds, 0);
  const isPartial = model === 'student' && !before.some(({ kind }) => kind === 'train');
  return {
    trainTokens: tokens('train', before) + share * tokens('train', own),
    sampledTokens: tokens('answer', before),
    seconds: seconds(before) + share * seconds(own),
    precision: isPartial ? 'partial' : share < 1 ? 'share' : 'measured',
  };
}

function isNeededBefore(model: Trained, kind: string, stage: string): boolean {
  if (model === 'sft') return false;
  if (model === 'control') return kind === 'answer' && stage === 'control';
  return (kind === 'train' && stage === 'sft') || (kind === 'answer' && stage !== 'control');
}
