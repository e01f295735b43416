/** Items that a training got wrong or right in contrast to the base, set by set. */
import { type Change, type Flips, flipsBetween, type Verdict } from '../metrics/retention.ts';
import { changeText } from './changes.ts';
import { counted } from './format.ts';
import { type Html, html, numberText, plainTable, type Section, trainingName } from './html-parts.ts';
import { evaluationOf, lastPoint } from './points.ts';
import type { Analysis } from './rows.ts';
import { temperaturesText } from './temperatures.ts';
import { verdictText } from './verdicts.ts';

export type FlippedItem = {
  readonly set: string;
  readonly id: string;
  readonly direction: 'right→wrong' | 'wrong→right';
  readonly baseAnswer: string | null;
  readonly answer: string | null;
};

export type TrainingFlips = {
  readonly training: string;
  readonly label: string;
  readonly step: number;
  /** Over all retention sets. */
  readonly change: Change | null;
  readonly verdict: Verdict | null;
  readonly sets: readonly SetFlips[];
  readonly items: readonly FlippedItem[];
};

/** A verdict is about retention: null for a set of the target. */
export type SetFlips = Flips & { readonly change: Change | null; readonly verdict: Verdict | null };

/** Flips from the base to the last point of every training. Empty where the base was not measured. */
export function flipsOf({ results, base, curves, rows }: Analysis): TrainingFlips[] {
  const before = base === null ? undefined : evaluationOf(results, base);
  if (before === undefined) return [];
  return curves.flatMap(curve => {
    const point = lastPoint(curve);
    const after = point === null ? undefined : evaluationOf(results, point);
    if (point === null || after === undefined) return [];
    const { name: training, label } = curve.training;
    // What the table says of it: one judgement of one number.
    const row = rows.find(one => one.training === training && one.kind === 'last');
    const sets = flipsBetween(before.sets, after.sets).map(flips => {
      const change = point.sets.find(({ name }) => name === flips.name)?.change ?? null;
      const verdict = row?.sets.find(({ name }) => name === flips.name)?.verdict ?? null;
      return { ...flips, change, verdict };
    });
    const items = sets.flatMap(flips =>
      flippedItems(flips, answersIn(before, flips.name), answersIn(after, flips.name)),
    );
    const { step, change } = point;
    return [{ training, label, step, change, verdict: row?.verdict ?? null, sets, items }];
  });
}

type SetRow = Pick<SetFlips, 'name' | 'change' | 'verdict'>;

/** One line a set, the target first, and before several retention sets one over all of them. */
export function setRows({ change, verdict, sets }: TrainingFlips): SetRow[] {
  const target = sets.filter(set => set.verdict === null);
  const retention = sets.filter(set => set.verdict !== null);
  const overall = { name: `all ${retention.length} retention sets`, change, verdict };
  return [
    ...target.map(set => ({ ...set, name: `${set.name} (target)` })),
    ...(retention.length > 1 ? [overall] : []),
    ...retention,
  ];
}

type Answers = ReadonlyMap<string, string | null>;
type Evaluation = NonNullable<ReturnType<typeof evaluationOf>>;

function answersIn(evaluation: Evaluation, name: string): Answers {
  const items = evaluation.sets.find(set => set.name === name)?.items ?? [];
  return new Map(items.map(({ id, answer }) => [id, answer]));
}

function flippedItems(
  { name, rightToWrong, wrongToRight }: Flips,
  before: Answers,
  after: Answers,
): FlippedItem[] {
  const describe = (ids: readonly string[], direction: FlippedItem['direction']) =>
    ids.map(id => ({
      set: name,
      id,
      direction,
      baseAnswer: before.get(id) ?? null,
      answer: after.get(id) ?? null,
    }));
  return [...describe(rightToWrong, 'right→wrong'), ...describe(wrongToRight, 'wrong→right')];
}

// Which items changed between the base and the last points.

/** Null where there is nothing to compare. */
export function flipsSection(analysis: Analysis): Section | null {
  const flips = flipsOf(analysis);
  if (flips.length === 0) return null;
  return {
    id: 'flips',
    title: 'Items that changed',
    shortTitle: 'Changed items',
    body: html`<p>Items whose result differs from that of the base, ${temperaturesText(analysis.temperatures)} or by log-likelihood, at the last point of each training. Accuracy moves by the difference of the two counts; their sum is the number of items that changed.</p>
${flips.map(one => html`${flipsTable(one, analysis)}${itemsTable(one, analysis)}`)}`,
  };
}

function flipsTable(flips: TrainingFlips, { margin, lookOf }: Analysis): Html {
  const head = ['set', 'Δ [95 % CI]', 'verdict', 'items', 'right→wrong', 'wrong→right'];
  const rows = setRows(flips).map(({ name, change, verdict }) => [
    name,
    numberText(changeText(change)),
    verdictText({ change, verdict, margin }),
    ...[change?.items, change?.lost, change?.gained].map(count => (count === undefined ? '' : String(count))),
  ]);
  return html`<h3>${trainingName(lookOf(flips.training))} at step ${flips.step}</h3>${plainTable(head, rows)}`;
}

/** More than a page can hold are counted, not shown. */
const mostShown = 200;

function itemsTable({ training, label, items }: TrainingFlips, { lookOf }: Analysis): Html {
  const shown = items.slice(0, mostShown);
  const rows = shown.map(({ set, id, direction, baseAnswer, answer }) => [
    set,
    html`<code>${id.slice(0, 16)}</code>`,
    direction,
    baseAnswer === null ? '' : html`<code>${baseAnswer}</code>`,
    answer === null ? '' : html`<code>${answer}</code>`,
  ]);
  const rest = items.length > shown.length ? html`<p>The first ${shown.length} are shown.</p>` : null;
  return html`<details><summary>${trainingName(lookOf(training))} <small>${counted(items.length, 'changed item')}, with answers</small></summary>
${rest}${rows.length === 0 ? null : plainTable(['set', 'item', 'change', 'answer of the base', `answer of ${label}`], rows, { texts: [1, 2, 3, 4] })}</details>`;
}
