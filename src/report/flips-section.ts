/** Which items changed between the base and the last points. */
import { counted, modelLabels } from './format.ts';
import { type Html, html } from './html-text.ts';
import { modelName, plainTable, type Section } from './page-parts.ts';
import type { Analysis } from './rows.ts';
import { flipsOf, type ModelFlips } from './set-flips.ts';

/** Null where there is nothing to compare. */
export function flipsSection(analysis: Analysis): Section | null {
  const flips = flipsOf(analysis);
  const [first] = flips;
  if (first === undefined) return null;
  const head = ['set', 'items', ...flips.flatMap(() => ['right→wrong', 'wrong→right'])];
  const groups = [null, null, ...flips.flatMap(({ model }) => [model, model])];
  const rows = first.sets.map(({ name, items }) => [
    name,
    String(items),
    ...flips.flatMap(({ sets }) => {
      const set = sets.find(other => other.name === name);
      return [String(set?.rightToWrong.length ?? 0), String(set?.wrongToRight.length ?? 0)];
    }),
  ]);
  const steps = flips.map(({ model, step }) => `${modelLabels[model]} at step ${step}`).join(', ');
  return {
    id: 'flips',
    title: 'Items that changed',
    shortTitle: 'Changed items',
    body: html`<p>Items whose result differs from that of the base, greedy or by log-likelihood: ${steps}. Accuracy moves by the difference of the two counts; their sum is the number of items that changed.</p>
${plainTable(head, rows, { groups: groups.map(model => (model === null ? '' : modelLabels[model])) })}
${flips.map(flippedItems)}`,
  };
}

/** More than a page can hold are counted, not shown. */
const mostShown = 200;

function flippedItems({ model, items }: ModelFlips): Html {
  const shown = items.slice(0, mostShown);
  const rows = shown.map(({ set, id, direction, baseAnswer, answer }) => [
    set,
    html`<code>${id.slice(0, 16)}</code>`,
    direction,
    baseAnswer === null ? '' : html`<code>${baseAnswer}</code>`,
    answer === null ? '' : html`<code>${answer}</code>`,
  ]);
  const rest = items.length > shown.length ? html`<p>The first ${shown.length} are shown.</p>` : null;
  return html`<details><summary>${modelName(model)} <small>${counted(items.length, 'changed item')}, with answers</small></summary>
${rest}${rows.length === 0 ? null : plainTable(['set', 'item', 'change', 'answer of the base', `answer of ${modelLabels[model]}`], rows, { texts: [1, 2, 3, 4] })}</details>`;
}
