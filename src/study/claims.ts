/** What a study claims, and what its numbers say to it. Pure. */

import { type Interval, mean, pearson, spearman } from '../metrics/statistics.ts';
import { correlationInterval } from '../metrics/t-test.ts';
import { settingsText } from './cells.ts';
import { chosenAt } from './matched.ts';
import { doubtfulSets, numberOf, type Outcome } from './outcomes.ts';
import {
  counterpartsOf,
  differenceEstimate,
  estimate,
  type Found,
  lastPoints,
  type Picked,
  pairsOf,
  recipePairText,
  recipesOf,
} from './quantities.ts';
import type { Claim, CorrelationClaim, Direction, Expectation, Quantity } from './study-file.ts';

export type ClaimVerdict = 'holds' | 'does not hold' | 'below noise' | 'not measured';

/** One number behind a claim: at a recipe, at a target accuracy, or over all. */
export type Evidence = {
  readonly at: string;
  readonly mean: number;
  readonly interval: Interval | null;
  readonly values: readonly number[];
  readonly verdict: ClaimVerdict;
};

export type JudgedClaim = {
  readonly claim: string;
  /** What was asked: `retention of A minus that of B, above 0`. */
  readonly asked: string;
  readonly verdict: ClaimVerdict;
  readonly evidence: readonly Evidence[];
  readonly note: string | null;
};

/** `levels`: target accuracies at which methods are compared. */
export function judgeClaim(
  claim: Claim | CorrelationClaim,
  outcomes: readonly Outcome[],
  levels: readonly number[],
): JudgedClaim {
  if ('correlation' in claim) return judgeCorrelation(claim, outcomes);
  const evidence = quantityOf(claim, outcomes, levels).map(({ at, estimate: found }) => ({
    at,
    mean: found.mean,
    interval: found.interval,
    values: found.values,
    // One replicate says nothing of others, whatever its items show.
    verdict: found.isDoubtful
      ? ('not measured' as const)
      : verdictOf(found.values.length < 2 ? null : found.interval, claim),
  }));
  return { claim: claim.claim, asked: askedText(claim), verdict: overall(evidence), evidence, note: null };
}

/** Points of one method, and of the one that it is held against. */
type Placed = { readonly at: string; readonly ofs: Picked[]; readonly againsts: Picked[] | null };

/** The estimates of a quantity, each with the place that it is of; none where it was not measured. */
function quantityOf(
  quantity: Quantity,
  outcomes: readonly Outcome[],
  levels: readonly number[],
): { readonly at: string; readonly estimate: Found }[] {
  const { of, against, at, where, measure, times } = quantity;
  const split = at === 'matched' ? ('test' as const) : ('all' as const);
  const places: Placed[] =
    at === 'matched'
      ? levels.map(level => ({
          at: `target accuracy ≥ ${level}`,
          ofs: chosenAt(outcomes, of, level).reached,
          againsts: against === null ? null : chosenAt(outcomes, against, level).reached,
        }))
      : recipesOf(
          outcomes.filter(({ cell }) => cell.method === of),
          where,
        ).flatMap((recipe): Placed[] => {
          const ofs = lastPoints(outcomes, of, recipe);
          if (against === null) return [{ at: placeOf(settingsText(recipe)), ofs, againsts: null }];
          const others = recipesOf(outcomes.filter(({ cell }) => cell.method === against));
          return counterpartsOf(recipe, others).map(other => ({
            at: placeOf(recipePairText(recipe, other)),
            ofs,
            againsts: lastPoints(outcomes, against, other),
          }));
        });
  return places.flatMap(({ at: place, ofs, againsts }) => {
    const found =
      againsts === null
        ? estimate(ofs, measure, split)
        : differenceEstimate(pairsOf(ofs, againsts), measure, { split, times });
    return found === null ? [] : [{ at: place, estimate: found }];
  });
}

function placeOf(text: string): string {
  return text === '' ? 'the one recipe' : text;
}

/** `holds` where the whole interval lies where it is claimed to, `does not hold` where none of it does. */
export function verdictOf(interval: Interval | null, { above, below, within }: Direction): ClaimVerdict {
  if (interval === null) return 'below noise';
  const { low, high } = interval;
  const [least, most] = within ?? [above ?? Number.NEGATIVE_INFINITY, below ?? Number.POSITIVE_INFINITY];
  if (low > least && high < most) return 'holds';
  return high < least || low > most ? 'does not hold' : 'below noise';
}

/** It holds where it does everywhere; one place where it surely does not is enough against it. */
function overall(evidence: readonly Evidence[]): ClaimVerdict {
  if (evidence.length === 0) return 'not measured';
  if (evidence.some(({ verdict }) => verdict === 'does not hold')) return 'does not hold';
  if (evidence.some(({ verdict }) => verdict === 'not measured')) return 'not measured';
  return evidence.every(({ verdict }) => verdict === 'holds') ? 'holds' : 'below noise';
}

/** `retention of A minus 3 × that of B at matched target accuracy, above 0` */
function askedText({ of, against, times, measure, at, ...direction }: Quantity & Direction): string {
  const other = against === null ? '' : ` minus ${times === 1 ? '' : `${times} × `}that of ${against}`;
  const place = at === 'matched' ? ' at equal target accuracy' : ' at the end of equal recipes';
  return `${measure} of ${of}${other}${place}, ${directionText(direction)}`;
}

function directionText({ above, below, within }: Direction): string {
  if (within !== null) return `within ${within[0]} to ${within[1]}`;
  return above === null ? `below ${below}` : `above ${above}`;
}

function judgeCorrelation(claim: CorrelationClaim, outcomes: readonly Outcome[]): JudgedClaim {
  const [measure] = claim.correlation;
  const among = outcomes.filter(({ cell }) => claim.over.includes(cell.method));
  const pooled = among.flatMap(outcome => pointOf(outcome, outcome.last, measure));
  const groups = [
    { at: 'last points of all cells', points: pooled },
    ...claim.over.map(method => ({
      at: `last points of ${method}`,
      points: pooled.filter(point => point.method === method),
    })),
  ];
  const evidence = groups.flatMap(({ at, points }): Evidence[] => {
    const [x, y] = [points.map(point => point.x), points.map(point => point.forgetting)];
    const r = pearson(x, y);
    if (r === null) return [];
    const interval = correlationInterval(r, points.length);
    const values = [spearman(x, y) ?? r];
    return [
      { at: `${at} (${points.length})`, mean: r, interval, values, verdict: verdictOf(interval, claim) },
    ];
  });
  const asked = `Pearson's correlation of ${measure} with forgetting, ${directionText(claim)}`;
  const note = `${withinText(among, measure)} Spearman stands beside each. Points of one base or seed are not independent, so intervals are too narrow; both grow with time and with the learning rate.`;
  return { claim: claim.claim, asked, verdict: overall(evidence), evidence, note };
}

/** The mean correlation along single trainings, of the measure and of the mere step number. */
function withinText(outcomes: readonly Outcome[], measure: CorrelationClaim['correlation'][0]): string {
  const along = outcomes.flatMap(outcome => {
    const own = outcome.points.flatMap(one => pointOf(outcome, one, measure));
    const y = own.map(point => point.forgetting);
    const [r, byStep] = [
      pearson(
        own.map(point => point.x),
        y,
      ),
      pearson(
        own.map(point => point.step),
        y,
      ),
    ];
    return r === null || byStep === null ? [] : [{ r, byStep }];
  });
  if (along.length === 0) return '';
  const text = (of: (one: { r: number; byStep: number }) => number) => mean(along.map(of)).toFixed(2);
  return `Along single trainings ${text(({ r }) => r)} on average (${along.length} trainings), of the mere step number ${text(({ byStep }) => byStep)}.`;
}

/** None where too many answers have no end: forgetting was not measured there. */
function pointOf(outcome: Outcome, measured: Outcome['last'], measure: CorrelationClaim['correlation'][0]) {
  const [x, change] = [numberOf(measured, measure), measured.point.change];
  const isDoubtful = doubtfulSets(outcome, [outcome.base, measured.record]).length > 0;
  return x === null || change === null || isDoubtful
    ? []
    : [{ x, forgetting: -change.mean, step: measured.point.step, method: outcome.cell.method }];
}

// Expectations: points and not intervals, because they are asserted of a few replicates.

export type JudgedExpectation = {
  readonly expect: string;
  readonly asked: string;
  readonly isMet: boolean;
  readonly found: string;
};

/** Met where the mean over replicates lies as expected everywhere, and no replicate misses by more than the slack. */
export function judgeExpectation(
  expectation: Expectation,
  outcomes: readonly Outcome[],
  levels: readonly number[],
): JudgedExpectation {
  const { slack, above, below, within } = expectation;
  const [least, most] = within ?? [above ?? Number.NEGATIVE_INFINITY, below ?? Number.POSITIVE_INFINITY];
  const found = quantityOf(expectation, outcomes, levels);
  const isAround = (value: number, room: number) => value > least - room && value < most + room;
  const isMet =
    found.length > 0 &&
    found.every(
      ({ estimate: one }) =>
        !one.isDoubtful &&
        isAround(one.mean, 0) &&
        (slack === null || one.values.every(value => isAround(value, slack))),
    );
  const text = found.map(
    ({ at, estimate: one }) =>
      `${at}: ${one.isDoubtful ? 'not measured, because too many answers have no end: ' : ''}${one.mean.toFixed(3)} (${one.values.map(value => value.toFixed(3)).join(', ')})`,
  );
  return {
    expect: expectation.expect,
    asked: `${askedText(expectation)}${slack === null ? '' : `, no replicate by more than ${slack} less`}`,
    isMet,
    found: found.length === 0 ? 'not measured' : text.join('; '),
  };
}
