/** study.html, study.md and study.json. */
import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic.ts';
import { lettered } from '../report/figure.ts';
import { type Html, html, plainTable, raw, type Section } from '../report/html-parts.ts';
import { legend } from '../report/legend.ts';
import { pageOf } from '../report/page.ts';
import { markdownTable } from '../report/table.ts';
import type { Study } from './analysis.ts';
import { studyFacts } from './facts-text.ts';
import { endPanel, matchedPanel, methodLooks } from './figures.ts';
import { type StudyTable, studyTables } from './tables.ts';

/** Paths of the files that were written. */
export type StudyPages = { readonly html: string; readonly markdown: string; readonly json: string };

/** Write the three into the directory of a study; each appears whole or not at all. */
export function writeStudyPages(directory: string, study: Study): StudyPages {
  const at = (ending: string) => join(directory, `study.${ending}`);
  const files = { html: at('html'), markdown: at('md'), json: at('json') };
  writeFileAtomic(files.html, studyPage(study));
  writeFileAtomic(files.markdown, studyMarkdown(study));
  writeFileAtomic(files.json, `${JSON.stringify(study, null, 2)}\n`);
  return files;
}

/** The page without its figures. */
export function studyMarkdown(study: Study): string {
  const tables = studyTables(study).flatMap(table => [
    '',
    `## ${table.title}`,
    '',
    ...markdownTable([table.head, ...table.rows], 'texts'),
    ...(table.notes.length === 0 ? [] : ['', ...table.notes.map(note => `- ${note}`)]),
  ]);
  const lines = [`# ${study.name}`, '', ...studyFacts(study).map(fact => `- ${fact}`), ...tables, ''];
  return lines.map(line => line.replace(/\s*[\r\n]+\s*/g, ' ').replaceAll('<', '&lt;')).join('\n');
}

/** The page with everything in it. */
export function studyPage(study: Study): string {
  const tables = studyTables(study);
  const first = tables.filter(({ id }) => id === 'claims' || id === 'expectations');
  const sections = [
    ...first.map(tableSection),
    ...figureSection(study),
    ...tables.filter(table => !first.includes(table)).map(tableSection),
  ];
  const links = sections.map(({ id, shortTitle }) => html`<a href="#${id}">${shortTitle}</a> `);
  return pageOf({
    title: `${study.name} – study`,
    header: html`<header><p class="kicker">Study</p><h1>${study.name}</h1><nav>${links}</nav></header>`,
    summary: html`<ul class="notes">${studyFacts(study).map(fact => html`<li>${fact}</li>`)}</ul>`,
    sections,
  });
}

function tableSection({ id, title, head, rows, texts, notes }: StudyTable): Section {
  const list =
    notes.length === 0 ? null : html`<ul class="notes">${notes.map(note => html`<li>${note}</li>`)}</ul>`;
  return { id, title, shortTitle: title, body: html`${plainTable(head, rows, { texts })}${list}` };
}

function figureSection(study: Study): Section[] {
  const lookOf = methodLooks(study);
  const { panels, caption } = lettered(
    [
      {
        panel: endPanel(study, lookOf),
        text: 'the last points of all cells (small) and their means (large): up and to the right is better;',
      },
      {
        panel: matchedPanel(study, lookOf),
        text: 'Δ retention at equal target accuracy, chosen on one half of the items and read on the other, with 95 % intervals over replicates.',
      },
    ],
    {},
  );
  if (panels.length === 0) return [];
  const names = [...new Set(study.methods.map(({ method }) => method))];
  const drawn = panels.map(
    (panel, i): Html => html`<div><b class="letter">${'ab'[i] ?? ''}</b>${raw(panel)}</div>`,
  );
  const figure = html`<figure><div class="panels">${drawn}</div><figcaption><b>Figure 1.</b> ${caption}</figcaption></figure>`;
  return [
    {
      id: 'pareto',
      title: 'Accuracy and retention',
      shortTitle: 'Figure',
      body: html`${legend(names.map(lookOf))}${figure}`,
    },
  ];
}
