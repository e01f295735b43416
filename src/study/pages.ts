/** study.html, study.md and study.json. */
import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic.ts';
import { figureSection, lettered } from '../report/figure.ts';
import { html, plainTable, type Section } from '../report/html-parts.ts';
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
    ...figureSections(study),
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

function figureSections(study: Study): Section[] {
  const lookOf = methodLooks(study);
  const figure = lettered(
    [
      {
        panel: endPanel(study, lookOf),
        text: 'the last points of all cells (small) and their means (large): up and to the right is better.',
      },
      {
        panel: matchedPanel(study, lookOf),
        text: 'Δ retention at equal target accuracy, chosen on one half of the items and read on the other, with 95 % intervals over replicates.',
      },
    ],
    {},
  );
  if (figure.panels.length === 0) return [];
  const looks = [...new Set(study.methods.map(({ method }) => method))].map(lookOf);
  const titles = { id: 'pareto', title: 'Accuracy and retention', shortTitle: 'Figure' };
  return [figureSection({ ...titles, ...figure }, 1, looks)];
}
