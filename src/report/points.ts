/** Evaluations as points of training runs, with everything that compares a point with the base model or with the points before it. Pure. */
import { pldDrift } from '../metrics/pld-drift.ts';
import { type Accuracy, accuracyChange, accuracyOf, type Change } from '../metrics/retention.ts';
import { type Interval, mean, wilsonInterval } from '../metrics/statistics.ts';
import { type TextLossChange, textLossChange } from '../metrics/text-loss.ts';
import type { EvaluationRecord, SetRecord } from '../run/records.ts';
import { baseName, type Training } from '../run/trainings.ts';
import type { Results } from './results.ts';

/** Accuracy on one set, with Wilson's interval, and its change against the base. */
export type SetAccuracy = Pick<SetRecord, 'name' | 'role' | 'scorer' | 'unfinished'> & {
  readonly accuracy: number;
  readonly interval: Interval;
  readonly items: number;
  /** Null where the base was not measured. */
  readonly change: Change | null;
};

/** One model at one step. Null where something was not measured, or the base was not. */
export type Point = {
  readonly training: string;
  readonly step: number;
  readonly target: Accuracy | null;
  /** Target accuracy at temperature 1. */
  readonly sampledTarget: number | null;
  /** Δ retention against the base. */
  readonly change: Change | null;
  readonly sets: readonly SetAccuracy[];
  readonly pld: EvaluationRecord['pld'];
  /** Of test PLD, from the model trained from on. */
  readonly drift: number | null;
  readonly kl: EvaluationRecord['kl'];
  /** Of what the model says itself. */
  readonly own: EvaluationRecord['own'] | null;
  /** How alike gold is what its training learned; null where targets are not drawn. */
  readonly goldOverlap: number | null;
  /** Cross-entropy of neutral documents against the base. */
  readonly textChange: TextLossChange | null;
};

/** The points of one training in order of steps; the first one is the model it started from, at step 0. */
export type Curve = { readonly training: Training; readonly points: readonly Point[] };

/** Bootstrap intervals of a report are the same whenever it is written. */
export const bootstrapSeed = 1;

/** The base model, where it was measured. */
export function basePoint(results: Results): Point | null {
  const base = results.evaluations.find(({ training }) => training === baseName);
  return base === undefined ? null : pointOf(base, base);
}

/** Every training that was measured, in their order. */
export function curvesOf({ evaluations, trainings, goldOverlaps }: Results): Curve[] {
  const base = evaluations.find(({ training }) => training === baseName);
  return trainings.flatMap(training => {
    const own = evaluations.filter(record => record.training === training.name && record.step > 0);
    const start = evaluations.findLast(record => record.training === training.startsFrom);
    if (own.length === 0) return [];
    const begin = start === undefined ? [] : [{ ...start, step: 0 }];
    const goldOverlap = goldOverlaps[training.name] ?? null;
    const points = [...begin, ...own].map(record => ({ ...pointOf(record, base), goldOverlap }));
    return [{ training, points: withDrift(points) }];
  });
}

/** Without the model that the training started from. */
export function ownPoints({ training, points }: Curve): Point[] {
  return points.filter(point => point.training === training.name);
}

/** The last point of a curve. */
export function lastPoint(curve: Curve): Point | null {
  return curve.points.at(-1) ?? null;
}

/** The point after the start with the highest target accuracy, the earliest of equals; null where target was not measured. */
export function bestPoint(curve: Curve): Point | null {
  const own = ownPoints(curve).filter(({ target }) => target !== null);
  const best = Math.max(...own.map(point => point.target?.mean ?? 0));
  return own.find(point => point.target?.mean === best) ?? null;
}

/** Δ retention of one point against another one of the same run. */
export function retentionDifference(results: Results, before: Point, after: Point): Change | null {
  return differenceOn('retention', results, [before, after]);
}

/** Change of target accuracy from one point to another one of the same run. */
export function targetDifference(results: Results, before: Point, after: Point): Change | null {
  return differenceOn('target', results, [before, after]);
}

/** The evaluation that a point was made of. */
export function evaluationOf(results: Results, { training, step }: Point): EvaluationRecord | undefined {
  return results.evaluations.find(record => record.training === training && record.step === step);
}

/** The value of a key of nested mappings, such as `tms.alpha`; undefined where there is none. */
export function valueAt(config: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    config,
  );
}

function differenceOn(
  role: SetRecord['role'],
  results: Results,
  points: readonly [Point, Point],
): Change | null {
  const [before, after] = points.map(point => setsOf(evaluationOf(results, point), role));
  if (before === undefined || after === undefined || before.length === 0) return null;
  return accuracyChange(before, after, bootstrapSeed);
}

function pointOf(record: EvaluationRecord, base: EvaluationRecord | undefined): Point {
  const targets = setsOf(record, 'target');
  const sampled = targets.map(({ sampledAccuracy }) => sampledAccuracy);
  const retention = setsOf(record, 'retention');
  return {
    training: record.training,
    step: record.step,
    target: accuracyOf(targets, bootstrapSeed),
    sampledTarget: sampled.length > 0 && sampled.every(value => value !== null) ? mean(sampled) : null,
    change: base === undefined ? null : accuracyChange(setsOf(base, 'retention'), retention, bootstrapSeed),
    sets: record.sets.filter(({ items }) => items.length > 0).map(set => setAccuracy(set, base)),
    pld: record.pld,
    drift: null,
    kl: record.kl,
    own: record.own ?? null,
    goldOverlap: null,
    textChange:
      base?.textLoss === undefined || record.textLoss === undefined || base === record
        ? null
        : textLossChange(base.textLoss, record.textLoss, bootstrapSeed),
  };
}

/** Sets without items say nothing, and would make a mean undefined. */
export function setsOf(record: EvaluationRecord | undefined, role: SetRecord['role']): SetRecord[] {
  return (record?.sets ?? []).filter(set => set.role === role && set.items.length > 0);
}

function setAccuracy(set: SetRecord, base: EvaluationRecord | undefined): SetAccuracy {
  const { name, role, scorer, unfinished, items } = set;
  const right = items.filter(({ isCorrect }) => isCorrect).length;
  const before = base?.sets.find(other => other.name === name);
  return {
    name,
    role,
    scorer,
    unfinished,
    accuracy: right / items.length,
    interval: wilsonInterval(right, items.length),
    items: items.length,
    change: before === undefined ? null : accuracyChange([before], [set], bootstrapSeed),
  };
}

function withDrift(points: readonly Point[]): Point[] {
  const measured = points.filter(({ pld }) => pld.test !== null);
  const drifts = pldDrift(measured.map(({ pld }) => pld.test?.nllPerToken ?? Number.NaN));
  return points.map(point => {
    const index = measured.indexOf(point);
    return index === -1 ? point : { ...point, drift: drifts[index] ?? null };
  });
}
