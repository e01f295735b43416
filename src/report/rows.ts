/** The rows of the final table. Pure; nothing formatted. */
import { type Accuracy, type Change, type Verdict, verdictOf } from '../metrics/retention.ts';
import type { TextLossChange } from '../metrics/text-loss.ts';
import type { Mixture } from '../run/sources.ts';
import { baseName, type Training } from '../run/trainings.ts';
import { type Endless, endlessBound, endlessOf, isEndless, mixtureOfTraining } from './fallback-notes.ts';
import { type LookOf, looksOf } from './marks.ts';
import { basePoint, bestPoint, type Curve, curvesOf, lastPoint, type Point, valueAt } from './points.ts';
import type { Results } from './results.ts';
import { type Temperatures, temperaturesOf } from './temperatures.ts';

/** What a model cost: tokens trained on and sampled, and seconds of both; without evaluation, loading and saving. */
export type RowCost = {
  readonly trainTokens: number;
  readonly sampledTokens: number;
  readonly seconds: number;
  /** `share`: the part of the steps up to a point before the end. `partial`: what `missing` names is not in it. */
  readonly precision: 'measured' | 'share' | 'partial';
  /** Labels of the other trainings that are counted in, as they were needed. */
  readonly includes: readonly string[];
  /** Labels of those that were needed and were taken from the store: what they cost is not known. */
  readonly missing: readonly string[];
};

/** What became of one retention set. */
export type SetVerdict = { readonly name: string; readonly change: Change | null; readonly verdict: Verdict };

/** `last`: end of training; `best`: recorded point with the highest target accuracy, chosen on the very items it is reported on. */
export type ResultRow = {
  readonly training: string;
  readonly label: string;
  readonly role: 'base' | Training['role'];
  /** Its targets, as the end of a sentence. */
  readonly trainsOn: string | null;
  readonly kind: 'base' | 'last' | 'best';
  readonly step: number;
  readonly target: Accuracy | null;
  /** Of the answers that accuracy counts. */
  readonly temperatures: Temperatures;
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
  /** What its visits trained on; null where targets are not drawn. */
  readonly mixture: RowMixture | null;
  readonly pld: number | null;
  readonly drift: number | null;
  /** Nats per sequence, KL(base‖model). */
  readonly klTarget: number | null;
  readonly klRetention: number | null;
  /** Of what the model says itself: KL(model‖base), entropy, distinct answers. */
  readonly own: Point['own'];
  /** Bits a byte of neutral documents against the base. */
  readonly textChange: TextLossChange | null;
  readonly cost: RowCost | null;
};

/** `asked`: the share of gold asked for, null where none was. Why gold took the place of answers, and what was learned though unusable. */
export type RowMixture = Mixture & {
  readonly asked: number | null;
  readonly why: string | null;
  readonly learned: string | null;
};

/** A run with what was computed from it: everything that tables, figures and text are made of. */
export type Analysis = {
  readonly results: Results;
  readonly base: Point | null;
  readonly curves: readonly Curve[];
  readonly lookOf: LookOf;
  readonly rows: readonly ResultRow[];
  /** The largest loss of retention that is still called kept. */
  readonly margin: number;
  readonly temperatures: Temperatures;
};

/** Points, curves and rows of a run: the base, then each training that was measured, last point and best point. */
export function analyse(results: Results): Analysis {
  const base = basePoint(results);
  const curves = curvesOf(results);
  const margin = marginOf(results);
  const temperatures = temperaturesOf(results);
  const facts = { margin, temperatures, base, bound: endlessBound(results) };
  const baseRows = base === null ? [] : [rowOf(base, { ...facts, ...ofBase })];
  const rows = [...baseRows, ...curves.flatMap(curve => rowsOf(curve, results, facts))];
  return { results, base, curves, lookOf: looksOf(results.trainings), rows, margin, temperatures };
}

const ofBase = {
  label: baseName,
  role: 'base',
  trainsOn: null,
  kind: 'base',
  cost: null,
  mixture: null,
} as const;

/** Of runs that were made before there was a margin. */
const usualMargin = 0.02;

function marginOf({ config }: Results): number {
  const margin = valueAt(config, ['retention', 'margin']);
  return typeof margin === 'number' ? margin : usualMargin;
}

/** No second row for a best point that is the last one, and none for a control: nobody would choose among its points. */
function rowsOf(curve: Curve, results: Results, facts: RunFacts): ResultRow[] {
  const [last, best] = [lastPoint(curve), bestPoint(curve)];
  if (last === null) return [];
  const { label, role, trainsOn } = curve.training;
  const own = { ...facts, label, role, trainsOn, mixture: mixtureOfTraining(results, curve.training) };
  const row = rowOf(last, { ...own, kind: 'last', cost: costAt(results, curve, last) });
  if (best === null || best === last || role === 'control') return [row];
  return [row, rowOf(best, { ...own, kind: 'best', cost: costAt(results, curve, best) })];
}

/** The same for every row of a run. */
type RunFacts = Pick<ResultRow, 'margin' | 'temperatures'> & {
  readonly base: Point | null;
  readonly bound: number;
};
type RowFacts = RunFacts & Pick<ResultRow, 'label' | 'role' | 'trainsOn' | 'kind' | 'cost' | 'mixture'>;

function rowOf(point: Point, facts: RowFacts): ResultRow {
  const { label, role, trainsOn, kind, cost, margin, base, bound, mixture } = facts;
  const { training, step, target, sampledTarget, pld, drift, kl, own, textChange } = point;
  const change = kind === 'base' ? null : point.change;
  const retention = kind === 'base' ? [] : point.sets.filter(({ role }) => role === 'retention');
  const isSetDoubtful = (name: string) =>
    [base, point].some(one => one?.sets.some(set => set.name === name && isEndless(set, bound)));
  const isDoubtful = retention.some(({ name }) => isSetDoubtful(name));
  return {
    training,
    label,
    role,
    trainsOn,
    kind,
    step,
    target,
    temperatures: facts.temperatures,
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
    mixture,
    pld: pld.test?.nllPerToken ?? null,
    drift: kind === 'base' ? null : drift,
    klTarget: kl.target?.perSequence ?? null,
    klRetention: kl.retention?.perSequence ?? null,
    own,
    textChange,
    cost,
  };
}

/** With what it needed: other trainings as a whole, and every answer that was asked for. Null without timings. */
function costAt({ costs, trainings }: Results, { training, points }: Curve, { step }: Point): RowCost | null {
  const share = step / (points.at(-1)?.step ?? step);
  const trainedBy = (name: string) => costs.filter(cost => cost.kind === 'train' && cost.training === name);
  const own = trainedBy(training.name);
  if (own.length === 0) return null;
  const needed = neededBy(training, trainings);
  const before = needed.flatMap(({ name }) => trainedBy(name));
  const names = [training, ...needed].map(({ name }) => name);
  const answers = costs.filter(cost => cost.kind === 'answer' && names.includes(cost.training));
  const missing = needed.filter(({ name }) => trainedBy(name).length === 0);
  const sum = (key: 'tokens' | 'seconds', list: typeof costs) =>
    list.reduce((total, cost) => total + cost[key], 0);
  return {
    trainTokens: sum('tokens', before) + share * sum('tokens', own),
    sampledTokens: sum('tokens', answers),
    seconds: sum('seconds', before) + sum('seconds', answers) + share * sum('seconds', own),
    precision: missing.length > 0 ? 'partial' : share < 1 ? 'share' : 'measured',
    includes: needed.map(({ label }) => label),
    missing: missing.map(({ label }) => label),
  };
}

/** What a training needs, what that needs, and so on. */
function neededBy(training: Training, trainings: readonly Training[]): Training[] {
  const names = new Set(training.needs);
  for (const name of names) // also what is added on the way
    for (const next of trainings.find(one => one.name === name)?.needs ?? []) names.add(next);
  names.delete(training.name);
  return trainings.filter(({ name }) => names.has(name));
}
