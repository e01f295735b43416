/** The rows of the final table. Pure; nothing formatted. */
import type { Accuracy, Change } from '../metrics/retention.ts';
import { type Verdict, verdictOf } from '../metrics/verdict.ts';
import type { Mixture } from '../run/mixture.ts';
import { type Endless, endlessBound, endlessOf, isEndless, mixtureIn } from './fallbacks.ts';
import {
  basePoint,
  bestPoint,
  type Curve,
  curvesOf,
  lastPoint,
  type Point,
  type Trained,
  valueAt,
} from './points.ts';
import type { Results } from './results.ts';

/** What a model cost: tokens trained on and sampled, and seconds of both; without evaluation, loading and saving. */
export type RowCost = {
  readonly trainTokens: number;
  readonly sampledTokens: number;
  readonly seconds: number;
  /** `share`: the part of the steps up to a point before the end. `partial`: a stage was taken from the store, its cost is not here. */
  readonly precision: 'measured' | 'share' | 'partial';
};

/** What became of one retention set. */
export type SetVerdict = { readonly name: string; readonly change: Change | null; readonly verdict: Verdict };

/** `last`: end of training; `best`: recorded point with the highest target accuracy, chosen on the very items it is reported on. */
export type ResultRow = {
  readonly model: Point['model'];
  readonly kind: 'base' | 'last' | 'best';
  readonly step: number;
  readonly target: Accuracy | null;
  readonly sampledTarget: number | null;
  /** Δ retention over all sets, and of each. */
  readonly change: Change | null;
  readonly sets: readonly SetVerdict[];
  /** Null for the base. */
  readonly verdict: Verdict | null;
  /** The largest loss of retention that is still called kept. */
  readonly margin: number;
  /** Answers to the retention sets that have no end; null where none is answered in words. */
  readonly endless: Endless | null;
  /** The same of the target sets. */
  readonly targetEndless: Endless | null;
  /** Whether too many answers of the base or of this model have no end for Δ retention to mean anything. */
  readonly isDoubtful: boolean;
  /** What the student trained on; null for others. */
  readonly mixture: (Mixture & { readonly asked: number | null; readonly why: string | null }) | null;
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
  /** The largest loss of retention that is still called kept. */
  readonly margin: number;
};

/** Points, curves and rows of a run: base; SFT, last and best; the control; TMS, last and best; those that were measured. */
export function analyse(results: Results): Analysis {
  const base = basePoint(results);
  const curves = curvesOf(results);
  const margin = marginOf(results);
  const facts = { margin, base, bound: endlessBound(results), mixture: mixtureIn(results) };
  const baseRows = base === null ? [] : [rowOf(base, { ...facts, kind: 'base', cost: null })];
  const rows = [...baseRows, ...curves.flatMap(curve => rowsOf(curve, results, facts))];
  return { results, base, curves, rows, margin };
}

/** Of runs that were made before there was a margin. */
const usualMargin = 0.02;

function marginOf({ config }: Results): number {
  const margin = valueAt(config, ['retention', 'margin']);
  return typeof margin === 'number' ? margin : usualMargin;
}

/** No second row for a best point that is the last one, and none for the control. */
function rowsOf(curve: Curve, results: Results, facts: RunFacts): ResultRow[] {
  const [last, best] = [lastPoint(curve), bestPoint(curve)];
  if (last === null) return [];
  const row = rowOf(last, { ...facts, kind: 'last', cost: costAt(results, curve, last) });
  if (best === null || best === last || curve.model === 'control') return [row];
  return [row, rowOf(best, { ...facts, kind: 'best', cost: costAt(results, curve, best) })];
}

/** The same for every row of a run. */
type RunFacts = Pick<ResultRow, 'margin' | 'mixture'> & {
  readonly base: Point | null;
  readonly bound: number;
};
type RowFacts = RunFacts & Pick<ResultRow, 'kind' | 'cost'>;

function rowOf(point: Point, { kind, cost, margin, base, bound, mixture }: RowFacts): ResultRow {
  const { model, step, target, sampledTarget, pld, drift, kl } = point;
  const change = kind === 'base' ? null : point.change;
  const retention = kind === 'base' ? [] : point.sets.filter(({ role }) => role === 'retention');
  const isSetDoubtful = (name: string) =>
    [base, point].some(one => one?.sets.some(set => set.name === name && isEndless(set, bound)));
  const isDoubtful = retention.some(({ name }) => isSetDoubtful(name));
  return {
    model,
    kind,
    step,
    target,
    sampledTarget,
    change,
    sets: retention.map(set => ({
      name: set.name,
      change: set.change,
      verdict: isSetDoubtful(set.name) ? 'not measured' : verdictOf(set.change, margin),
    })),
    verdict: kind === 'base' ? null : isDoubtful ? 'not measured' : verdictOf(change, margin),
    margin,
    endless: endlessOf(point, 'retention'),
    targetEndless: endlessOf(point, 'target'),
    isDoubtful,
    mixture: model === 'student' ? mixture : null,
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
  return (kind === 'train' && stage === 'sft') || (kind === 'answer' && stage === 'student');
}
