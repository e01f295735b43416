/** Which items changed between the base and the last points. */
import { changeText } from './changes.ts';
import { counted } from './format.ts';
import { type Html, html } from './html-text.ts';
import { numberText, plainTable, type Section, trainingName } from './page-parts.ts';
import type { Analysis } from './rows.ts';
import { flipsOf, setRows, type TrainingFlips } from './set-flips.ts';
import { verdictText } from './verdicts.ts';

/** Null where there is nothing to compare. */
export function flipsSection(analysis: Analysis): Section | null {
  const flips = flipsOf(analysis);
  if (flips.length === 0) return null;
  return {
    id: 'flips',
    title: 'Items that changed',
    shortTitle: 'Changed items',
    body: html`<p>Items whose result differs from that of the base, greedy or by log-likelihood, at the last point of each training. Accuracy moves by the difference of the two counts; their sum is the number of items that changed.</p>
${flips.map(one => html`${flipsTable(one, analysis)}${flippedItems(one, analysis)}`)}`,
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

function flippedItems({ training, label, items }: TrainingFlips, { lookOf }: Analysis): Html {
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
