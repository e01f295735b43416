/** The browser of answers: for a prompt, gold and what every checkpoint answered, side by side. */
import type { ShownAnswer, ShownPrompt } from './answers.ts';
import { amount, counted, percent } from './format.ts';
import { type Html, html } from './html-text.ts';
import { plainTable, type Section } from './page-parts.ts';
import type { Results } from './results.ts';

/** Null where no answers were stored. */
export function answersSection({ prompts, answerCounts, curriculum }: Results): Section | null {
  if (answerCounts.length === 0) return null;
  const total = answerCounts.reduce((sum, { answers }) => sum + answers, 0);
  const visits = new Map(curriculum?.perCheckpoint.map(one => [one.checkpointStep, one.visits]));
  const rows = answerCounts.map(({ checkpointStep, answers, unfinished }) => [
    checkpointStep === 0 ? 'base' : `step ${checkpointStep}`,
    amount(answers),
    `${unfinished} (${percent(unfinished / answers)})`,
    curriculum === null ? '' : amount(visits.get(checkpointStep) ?? 0),
  ]);
  const shown = prompts.filter(({ answers }) => answers.length > 0);
  const browser = shown.map((prompt, i) => promptDetails(prompt, i === 0));
  return {
    id: 'answers',
    title: 'Answers of the checkpoints',
    shortTitle: 'Answers',
    body: html`<p>${counted(total, 'stored answer')} of ${counted(answerCounts.length, 'checkpoint')}. ${shown.length === 0 ? '' : `Below, ${counted(shown.length, 'training prompt')} with gold and every stored answer: how often a visit of the student’s training drew it, and which ended at the length limit.`}</p>
${browser}
<h3>All answers, and the visits that trained on them</h3>
${plainTable(['checkpoint', 'answers', 'unfinished', 'visits'], rows)}`,
  };
}

/** Letters of an answer that narrow cards hold. */
const shortAnswer = 80;

function promptDetails(prompt: ShownPrompt, isOpen: boolean): Html {
  const { answers, goldUsed, gold, undrawn } = prompt;
  const used = answers.reduce((sum, answer) => sum + answer.used, 0);
  const isLong = [gold, ...answers.map(({ text }) => text)].some(text => text.length > shortAnswer);
  const cards = [
    html`<div class="answer gold"><h4>gold</h4><p>${gold}</p><footer>${uses(goldUsed)}</footer></div>`,
    ...answers.map(answer => answerCard(answer, prompt)),
    ...(undrawn.length === 0
      ? []
      : [
          html`<div class="answer undrawn"><h4>not drawn</h4><footer>No answer was needed from step ${undrawn.join(', ')}.</footer></div>`,
        ]),
  ];
  return html`<details name="prompt"${isOpen ? html` open` : null}><summary><code>${prompt.prompt}</code><small>gold ${goldUsed}×, answers ${used}×</small></summary>
<div class="answers${isLong ? ' long' : ''}">${cards}</div></details>`;
}

function answerCard(
  { checkpointStep, sample, text, isFinished, used, replaced }: ShownAnswer,
  prompt: ShownPrompt,
): Html {
  const several = prompt.answers.some(other => other.sample > 0);
  const title = `${checkpointStep === 0 ? 'base' : `step ${checkpointStep}`}${several ? `, sample ${sample + 1}` : ''}`;
  const notes = [
    ...(text === prompt.gold ? [html` · same as gold`] : []),
    ...(isFinished ? [] : [html` · <span class="flag">unfinished</span>`]),
    ...(replaced === 0 ? [] : [html` · drawn ${replaced}×, gold took its place`]),
  ];
  return html`<div class="answer${used > 0 ? ' used' : ''}"><h4>${title}</h4><p>${text}</p><footer>${uses(used)}${notes}</footer></div>`;
}

function uses(count: number): Html {
  return count === 0 ? html`not used` : html`<b>used ${count}×</b>`;
}
