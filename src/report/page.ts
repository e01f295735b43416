/** The shell of every page: one file with everything in it; it asks nothing of the network and forbids itself to. */
import { createHash } from 'node:crypto';
import { type Html, html, raw, type Section } from './html-parts.ts';
import { pageScript, pageStyle } from './page-style.ts';

/** What a page consists of. */
export type PageParts = {
  readonly title: string;
  readonly header: Html;
  readonly summary: Html;
  readonly sections: readonly Section[];
};

/** The whole page. */
export function pageOf({ title, header, summary, sections }: PageParts): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${scriptDigest()}'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${raw(pageStyle)}</style>
</head>
<body>
<main>
${header}
${summary}
${sections.map(({ id, title, body }) => html`<section id="${id}"><h2>${title}</h2>${body}</section>\n`)}
</main>
<script>${raw(pageScript)}</script>
</body>
</html>
`;
  return page.html;
}

/** Only our own script runs: should text of a run ever get out of its escaping, it is still no program. */
function scriptDigest(): string {
  return createHash('sha256').update(pageScript).digest('base64');
}
