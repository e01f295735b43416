/** What a run cost, what it assumed, what it ran on, and what it left behind. */

import { amount, duration, percent, settingText } from './format.ts';
import { html, plainTable, type Section, trainingName } from './html-parts.ts';
import type { Results } from './results.ts';
import { costLines, loadingLines } from './row-costs.ts';
import type { Analysis } from './rows.ts';

/** Null without timings. */
export function costSection({ results, lookOf }: Analysis): Section | null {
  const lines = costLines(results);
  if (lines.length === 0) return null;
  const total = lines.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows = lines.map(({ training, kind, seconds, tokens, share }) => [
    html`${trainingName(lookOf(training))} <small>${kind}</small>`,
    duration(seconds),
    percent(share),
    html`<span class="bar" style="--of:${lookOf(training).colour};width:${(share * 100).toFixed(1)}%"></span>`,
    tokens === 0 ? '' : amount(tokens),
    tokens === 0 || seconds === 0 ? '' : amount(tokens / seconds),
  ]);
  return {
    id: 'cost',
    title: 'Cost',
    shortTitle: 'Cost',
    body: html`<p>Time in the worker by training, ${duration(total)} in all. Tokens are trained, sampled or scored ones. What was taken from the store of earlier runs has no line.</p>
${plainTable(['training', 'time', 'share', '', 'tokens', 'tokens/s'], rows)}`,
  };
}

/** Null where no model was saved. */
export function loadingSection(results: Results): Section | null {
  const { model } = results;
  if (model === null) return null;
  const lines = loadingLines(results) ?? [];
  return {
    id: 'load',
    title: 'The trained model',
    shortTitle: 'Model',
    body: html`<p>${model.training.label}, a plain Hugging Face directory: <code>${model.path}</code></p><pre>${lines.join('\n')}</pre>`,
  };
}

/** Null where nothing was guessed. */
export function guessedSection({ guessed }: Results): Section | null {
  if (guessed.length === 0) return null;
  const rows = guessed.map(({ key, value, why }) => [
    html`<code>${key}</code>`,
    html`<code>${settingText(value)}</code>`,
    why,
  ]);
  return {
    id: 'guessed',
    title: 'Settings that the paper does not state',
    shortTitle: 'Guessed settings',
    body: html`<p>arXiv 2602.03073 leaves these open; the values are those of this run.</p>
${plainTable(['setting', 'value', 'where a value can come from'], rows, { texts: [1, 2] })}`,
  };
}

/** What it ran on, and the digests that say whether another run is comparable. */
export function environmentSection({ environment, run, directory, config }: Results): Section {
  const facts: readonly (readonly [string, string])[] = [
    ['directory', directory],
    ['run', run.id],
    ['configuration digest', run.configDigest],
    ['base model digest', run.baseDigest],
    ['data digest', run.dataDigest],
    ...(environment === null ? [] : environmentFacts(environment)),
  ];
  const settings =
    config === null
      ? null
      : html`<details><summary>Every setting</summary><pre>${JSON.stringify(config, null, 2)}</pre></details>`;
  return {
    id: 'environment',
    title: 'Environment',
    shortTitle: 'Environment',
    body: html`${plainTable(
      ['', ''],
      facts.map(([name, value]) => [name, html`<code>${value}</code>`]),
      { texts: [1] },
    )}${settings}`,
  };
}

function environmentFacts(environment: NonNullable<Results['environment']>): [string, string][] {
  const { device, threads, platform, node, versions, determinism, git, notes } = environment;
  return [
    ['device', device],
    ['threads', String(threads)],
    ['platform', platform],
    ['node', node],
    ...Object.entries(versions),
    ...Object.entries(determinism).map(([name, value]): [string, string] => [`determinism: ${name}`, value]),
    [
      'git',
      git === null ? 'not a repository' : `${git.commit}${git.isDirty ? ' with uncommitted changes' : ''}`,
    ],
    ...notes.map((note): [string, string] => ['note', note]),
  ];
}
