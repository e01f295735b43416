/** The browser of answers: for a prompt, gold and what every checkpoint answered, side by side. */
import type { ShownAnswer, ShownPrompt, Use } from './answers.ts';
import { amount, checkpointLabel, counted, fixed, percent } from './format.ts';
import { type Html, html, plainTable, type Section } from './html-parts.ts';
import type { Analysis } from './rows.ts';

/** Null where no answers were stored. */
export function answersSection(analysis: Analysis): Section | null {
  const { prompts, answerSets, trainings } = analysis.results;
  if (answerSets.length === 0) return null;
  const total = answerSets.reduce((sum, { answers }) => sum + answers, 0);
  const hasVisits = answerSets.some(({ visits }) => visits !== null);
  const hasGold = answerSets.some(({ gold }) => gold !== null);
  const rows = answerSets.map(set => [
    `${checkpointLabel(set, trainings)}${askerText(set, analysis)}`,
    amount(set.answers),
    `${set.unfinished} (${percent(set.unfinished / set.answers)})`,
    ...(hasVisits ? [set.visits === null ? '' : amount(set.visits)] : []),
    ...(hasGold
      ? set.gold === null
        ? ['', '']
        : [`${set.gold.equal} (${percent(set.gold.equal / set.answers)})`, fixed(set.gold.overlap, 2)]
      : []),
  ]);
  const shown = prompts.filter(({ answers }) => answers.length > 0);
  const browser = shown.map((prompt, i) => promptDetails(prompt, i === 0, analysis));
  return {
    id: 'answers',
    title: 'Answers of the checkpoints',
    shortTitle: 'Answers',
    body: html`<p>${counted(total, 'stored answer')} of ${counted(answerSets.length, 'checkpoint')}. ${shown.length === 0 ? '' : `Below, ${counted(shown.length, 'training prompt')} with gold and every stored answer: how many visits trained on it, and which ended at the length limit.`}</p>
${browser}
<h3>All answers${hasVisits ? ', and the visits that trained on them' : ''}</h3>
${plainTable(['checkpoint', 'answers', 'unfinished', ...(hasVisits ? ['visits'] : []), ...(hasGold ? ['same as gold', 'tokens in common with gold'] : [])], rows)}`,
  };
}

/** For whom, where more than one training asked. */
function askerText({ asker }: { readonly asker: string | null }, { results, lookOf }: Analysis): string {
  const askers = new Set(results.answerSets.map(set => set.asker));
  return asker === null || askers.size < 2 ? '' : ` for ${lookOf(asker).label}`;
}

/** Letters of an answer that narrow cards hold. */
const shortAnswer = 80;

function promptDetails(prompt: ShownPrompt, isOpen: boolean, analysis: Analysis): Html {
  const { answers, goldUses, gold, undrawn } = prompt;
  const used = answers.reduce((sum, { uses }) => sum + usesIn(uses ?? []), 0);
  const isLong = [gold, ...answers.map(({ text }) => text)].some(text => text.length > shortAnswer);
  const nobody = undrawn.map(
    one => `${checkpointLabel(one, analysis.results.trainings)}${askerText(one, analysis)}`,
  );
  const cards = [
    html`<div class="answer gold"><h4>gold</h4><p>${gold}</p><footer>${usesText(goldUses, analysis)}</footer></div>`,
    ...answers.map(answer => answerCard(answer, prompt, analysis)),
    ...(nobody.length === 0
      ? []
      : [
          html`<div class="answer undrawn"><h4>not drawn</h4><footer>No answer was needed from ${nobody.join(', ')}.</footer></div>`,
        ]),
  ];
  return html`<details name="prompt"${isOpen ? html` open` : null}><summary><code>${prompt.prompt}</code><small>gold ${usesIn(goldUses)}×, answers ${used}×</small></summary>
<div class="answers${isLong ? ' long' : ''}">${cards}</div></details>`;
}

function answerCard(answer: ShownAnswer, prompt: ShownPrompt, analysis: Analysis): Html {
  const { sample, text, isFinished, uses } = answer;
  const several = prompt.answers.some(other => other.sample > 0);
  const title = `${checkpointLabel(answer, analysis.results.trainings)}${askerText(answer, analysis)}${several ? `, sample ${sample + 1}` : ''}`;
  const replaced = (uses ?? []).reduce((sum, use) => sum + use.replaced, 0);
  const notes = [
    ...(text === prompt.gold ? [html`same as gold`] : []),
    ...(isFinished ? [] : [html`<span class="flag">unfinished</span>`]),
    ...(replaced === 0 ? [] : [html`drawn ${replaced}×, gold took its place`]),
  ];
  const footer = [...(uses === null ? [] : [usesText(uses, analysis, answer.asker !== null)]), ...notes];
  const user = (uses ?? []).find(({ used }) => used > 0);
  const colour = user === undefined ? null : html` style="--of:${analysis.lookOf(user.training).colour}"`;
  return html`<div class="answer${user === undefined ? '' : ' used'}"${colour}><h4>${title}</h4><p>${text}</p><footer>${footer.map((note, i) => html`${i === 0 ? '' : ' · '}${note}`)}</footer></div>`;
}

function usesIn(uses: readonly Use[]): number {
  return uses.reduce((sum, { used }) => sum + used, 0);
}

/** By training where more than one may have drawn it. */
function usesText(uses: readonly Use[], { results, lookOf }: Analysis, hasOneUser = false): Html {
  if (usesIn(uses) === 0) return html`not used`;
  if (hasOneUser || results.curricula.length < 2) return html`<b>used ${usesIn(uses)}×</b>`;
  const each = uses
    .filter(({ used }) => used > 0)
    .map(({ training, used }) => `${lookOf(training).label} ${used}×`);
  return html`<b>used by ${each.join(', ')}</b>`;
}
