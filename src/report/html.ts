/** report.html: one file with everything in it; it asks nothing of the network and forbids itself to. */
import { baseName } from '../run/trainings.ts';
import { answersSection } from './answers-section.ts';
import { columnsFor, exclusionNotes, tableNotes } from './columns.ts';
import { figureSection } from './figure.ts';
import { makeFigures } from './figures.ts';
import { flipsSection } from './flips.ts';
import { settingText } from './format.ts';
import { gateOf, gateSentence } from './gate.ts';
import { groupCells, type Html, html, numberText, raw, type Section, trainingName } from './html-parts.ts';
import { pageOf } from './page.ts';
import { valueAt } from './points.ts';
import type { Results } from './results.ts';
import type { Analysis, ResultRow } from './rows.ts';
import { costSection, environmentSection, guessedSection, loadingSection } from './run-sections.ts';
import { cautions, differenceSentences, statusSentence } from './summary.ts';

/** The whole page. */
export function reportPage(analysis: Analysis): string {
  const { results } = analysis;
  const sections = [
    ...figureSections(analysis),
    flipsSection(analysis),
    answersSection(analysis),
    costSection(analysis),
    loadingSection(results),
    guessedSection(results),
    environmentSection(results),
  ].filter(section => section !== null);
  return pageOf({
    title: `${results.name} – run report`,
    header: header(results, sections),
    summary: summary(analysis),
    sections,
  });
}

function figureSections(analysis: Analysis): Section[] {
  const { curves, lookOf } = analysis;
  const trained = curves.map(({ training }) => lookOf(training.name));
  const looks = { none: [], trained, all: [lookOf(baseName), ...trained] };
  return makeFigures(analysis).map((figure, i) => figureSection(figure, i + 1, looks[figure.legend]));
}

function header({ run, name, config, environment }: Results, sections: readonly Section[]): Html {
  const base = valueAt(config, ['model_name_or_path']);
  const seed = valueAt(config, ['seed']);
  const facts = [
    `method ${run.method}`,
    ...(base === undefined ? [] : [`base model ${settingText(base)}`]),
    ...(seed === undefined ? [] : [`seed ${settingText(seed)}`]),
    `begun ${day(run.startedAt)}`,
    run.status,
    ...(environment === null ? [] : [environment.device]),
    `tms ${run.tmsVersion}`,
  ];
  const links = sections.map(({ id, shortTitle }) => html`<a href="#${id}">${shortTitle}</a> `);
  return html`<header><p class="kicker">Run report</p><h1>${name}</h1>
<p class="facts">${facts.map(fact => html`<span>${fact}</span>`)}</p><nav>${links}</nav></header>`;
}

/** 2026-11-24T20:14:03.000Z → 2026-11-24 20:14 UTC */
function day(time: string): string {
  return `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

function summary(analysis: Analysis): Html {
  const status = statusSentence(analysis.results);
  const gate = gateOf(analysis);
  const differences = differenceSentences(analysis).map(sentence => html`<li>${sentence}</li>`);
  return html`${status === null ? null : html`<p class="status">${status}</p>`}
${analysis.rows.length === 0 ? html`<p>Nothing has been evaluated yet.</p>` : finalTable(analysis)}
${gate === null ? null : html`<p${gate.outcome === 'failed' ? raw(' class="status"') : null}>${gateSentence(gate)}</p>`}
${differences.length === 0 ? null : html`<ul class="findings">${differences}</ul><p class="caution">${cautions}</p>`}`;
}

function finalTable(analysis: Analysis): Html {
  const { rows } = analysis;
  const columns = columnsFor(rows, 'wide');
  const groups = groupCells(columns.map(({ group }) => group));
  const head = html`<thead><tr>${groups}</tr><tr>${columns.map(({ title }) => html`<th scope="col">${title}</th>`)}</tr></thead>`;
  const body = rows.map((row, i) => {
    const cells = columns.map(({ textOf }, column) =>
      column === 0 ? rowHead(row, analysis) : html`<td>${numberText(textOf(row))}</td>`,
    );
    const starts = i > 0 && rows[i - 1]?.training !== row.training;
    return html`<tr${starts ? raw(' class="break"') : null}>${cells}</tr>`;
  });
  return html`<div class="scroll"><table>${head}<tbody>${body}</tbody></table></div>
<ul class="notes">${[...exclusionNotes(rows), ...tableNotes(analysis)].map(note => html`<li>${note}</li>`)}</ul>`;
}

function rowHead({ training, kind, step }: ResultRow, { lookOf }: Analysis): Html {
  const point = kind === 'base' ? null : html` <small>${kind}, step ${step}</small>`;
  return html`<td>${trainingName(lookOf(training))}${point}</td>`;
}
