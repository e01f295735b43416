/** The look of report.html: light and dark, wide and narrow, screen and paper. */
import { palette, paletteVariable } from './marks.ts';

/** The colours of marks, `light` on light paper. */
function markColours(paper: 'light' | 'dark'): string {
  return palette.map((colour, i) => `${paletteVariable(i)}: ${colour[paper]};`).join(' ');
}

export const pageStyle = `
:root {
  color-scheme: light dark;
  --paper: #fffefb; --ink: #1c1b19; --soft: #5d5a54; --rule: #b9b5ab; --grid: #e9e6de; --wash: #f5f3ec;
  --warn: #8a5a00; ${markColours('light')}
  --sans: Inter, system-ui, "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
  --serif: "Source Serif 4", Charter, "Iowan Old Style", "Palatino Linotype", Georgia, "Liberation Serif", serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e6e3dc; --soft: #a09c93; --rule: #57544e; --grid: #2a2c30; --wash: #1d2024;
    --warn: #e5b04c; ${markColours('dark')}
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.55 var(--serif); }
main { max-width: 1180px; margin: 0 auto; padding: 3.2rem 1.5rem 5rem; }
header { border-bottom: 1px solid var(--ink); padding-bottom: 1.1rem; margin-bottom: 1.6rem; }
.kicker { font: 600 0.72rem/1.2 var(--sans); letter-spacing: 0.09em; text-transform: uppercase; color: var(--soft); margin: 0 0 0.5rem; }
h1 { font-size: 2.1rem; line-height: 1.15; margin: 0 0 0.6rem; font-weight: 600; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 3rem 0 0.7rem; font-weight: 600; }
h3 { font: 600 0.86rem/1.3 var(--sans); margin: 1.6rem 0 0.4rem; }
p, ul.notes { max-width: 46rem; margin: 0 0 0.8rem; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: 0.18em; }
.facts, nav { font: 0.86rem/1.6 var(--sans); color: var(--soft); margin: 0; max-width: none; overflow-wrap: anywhere; }
.facts span { white-space: nowrap; }
.facts span::after { content: " · "; white-space: normal; }
.facts span:last-child::after { content: ""; }
nav { margin-top: 0.7rem; display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; }
.status { border-left: 3px solid var(--warn); padding: 0.1rem 0 0.1rem 0.9rem; margin: 0 0 1.4rem; }
ul.notes { font: 0.8rem/1.5 var(--sans); color: var(--soft); padding-left: 1.1rem; margin-top: 0.7rem; max-width: 60rem; }
ul.findings { max-width: 56rem; padding-left: 1.1rem; margin: 1.6rem 0 0.8rem; }
ul.findings li { margin-bottom: 0.25rem; }
.caution { color: var(--soft); font-style: italic; }
.scroll { overflow-x: auto; margin: 0.4rem 0 0; }
table { border-collapse: collapse; font: 0.82rem/1.35 var(--sans); font-variant-numeric: tabular-nums lining-nums; border-top: 1.6px solid var(--ink); border-bottom: 1.6px solid var(--ink); }
th, td { padding: 0.34rem 0.45rem; text-align: right; white-space: nowrap; vertical-align: baseline; }
th { font-weight: 500; color: var(--soft); }
thead tr:last-child th { border-bottom: 0.8px solid var(--ink); padding-bottom: 0.4rem; }
thead th.group { text-align: center; padding-bottom: 0.1rem; }
thead th.group span { display: block; border-bottom: 0.6px solid var(--rule); padding-bottom: 0.2rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0.1rem; position: sticky; left: 0; background: var(--paper); }
th.text { text-align: left; }
td.text { text-align: left; white-space: normal; min-width: 5rem; overflow-wrap: anywhere; }
td.text:last-child { min-width: 11rem; }
tr.break td { border-top: 0.6px solid var(--rule); }
td small { color: var(--soft); font-size: 0.92em; }
.swatch { display: inline-block; width: 0.62em; height: 0.62em; margin-right: 0.5em; background: var(--of); border-radius: 1px; }
figure { margin: 0.6rem 0 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 1.2rem 1.6rem; align-items: end; }
.panels.few { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.panels.few figcaption { margin: 0; align-self: center; }
.panels.few.one figcaption { grid-column: span 2; }
svg.panel { display: block; width: 100%; height: auto; overflow: visible; font-family: var(--sans); color: var(--ink); font-size: 10.5px; }
svg.panel text { white-space: pre; }
svg.panel [aria-label$="tick label"] { fill: var(--soft); }
figcaption { font: 0.84rem/1.5 var(--sans); color: var(--soft); max-width: 60rem; margin-top: 0.8rem; }
figcaption b { color: var(--ink); font-weight: 600; }
.panels > div { position: relative; padding-top: 0.9rem; }
.letter { position: absolute; left: 0; top: 0; font: 600 0.72rem/1 var(--sans); }
.legend { font: 0.8rem/1.6 var(--sans); color: var(--soft); margin: 0 0 0.5rem; display: flex; flex-wrap: wrap; gap: 0 1.2rem; max-width: none; }
.legend svg { width: 1.5em; height: 0.8em; margin-right: 0.4em; vertical-align: -0.05em; overflow: visible; }
details { border-bottom: 0.6px solid var(--rule); }
details:first-of-type { margin-top: 1rem; border-top: 0.6px solid var(--rule); }
summary { cursor: pointer; padding: 0.45rem 0; font: 0.84rem/1.45 var(--sans); overflow-wrap: anywhere; }
summary code { margin-right: 0.7em; }
summary code { white-space: pre-wrap; }
details:not([open]) > summary code { display: inline-block; max-width: calc(100% - 12rem); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
summary small { color: var(--soft); font-size: 0.95em; }
summary::marker { color: var(--soft); }
code, pre { font-family: var(--mono); font-size: 0.86em; }
pre { background: var(--wash); padding: 0.8rem 1rem; overflow-x: auto; margin: 0.4rem 0 1rem; font-size: 0.78rem; line-height: 1.55; }
.answers { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 160px), 1fr)); gap: 0.6rem; padding: 0.3rem 0 1rem; }
.answers.long { grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); }
.answers.long .answer p { font: 0.82rem/1.45 var(--sans); max-height: 22rem; }
.answer { background: var(--wash); padding: 0.5rem 0.7rem 0.6rem; border-top: 2px solid var(--rule); min-width: 0; }
.answer.used { border-top-color: var(--of); }
.answer.gold { border-top-color: var(${paletteVariable(0)}); }
.answer.undrawn { background: none; border-top-style: dotted; color: var(--soft); }
.answer h4 { margin: 0; font: 600 0.74rem/1.4 var(--sans); color: var(--soft); }
.answer p { margin: 0.25rem 0 0.35rem; font: 0.82rem/1.45 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; max-height: 14rem; overflow-y: auto; }
.answer footer { font: 0.72rem/1.4 var(--sans); color: var(--soft); }
.answer.used footer b { color: var(--of); }
.flag { color: var(--warn); }
.bar { display: block; height: 0.6em; background: var(--of); opacity: 0.8; min-width: 1px; }
td:has(.bar) { width: 12rem; min-width: 5rem; vertical-align: middle; }
#tip { position: fixed; z-index: 9; pointer-events: none; max-width: min(22rem, 90vw); padding: 0.4rem 0.6rem; background: var(--ink); color: var(--paper); font: 0.74rem/1.45 var(--sans); font-variant-numeric: tabular-nums; white-space: pre-line; border-radius: 2px; }
#tip[hidden] { display: none; }
@media (max-width: 900px) {
  .panels.few { grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); }
  .panels.few.one figcaption { grid-column: auto; }
}
@media (max-width: 600px) {
  body { font-size: 16px; }
  main { padding: 1.6rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  h2 { margin-top: 2.2rem; }
  th, td { padding: 0.34rem 0.5rem; }
  td small { display: block; }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #fff; --ink: #000; --soft: #444; --rule: #999; --grid: #ddd; --wash: #f4f4f4;
    --warn: #8a5a00; ${markColours('light')}
  }
  html { font-size: 12px; }
  body { font-size: 1rem; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  nav, #tip { display: none; }
  figure, tr, .answer, pre { break-inside: avoid; }
  section:has(> figure) { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 0.76rem; }
  th, td { padding: 0.2rem 0.35rem; }
  .panels, .panels.few { grid-template-columns: repeat(3, 1fr); gap: 0.8rem 1rem; }
  .panels.few.one figcaption { grid-column: span 2; }
  h2 { margin-top: 2rem; }
}
`;

/** Shows the `<title>` of a mark at once and beside the pointer; without it the browser shows it after a while. */
export const pageScript = `
(() => {
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  document.body.append(tip);
  for (const title of document.querySelectorAll('svg.panel title')) {
    const mark = title.parentNode;
    mark.setAttribute('aria-label', title.textContent);
    mark.dataset.tip = title.textContent;
    title.remove();
  }
  const show = event => {
    const text = event.target.dataset?.tip;
    tip.hidden = text === undefined;
    if (tip.hidden) return;
    tip.textContent = text;
    const { offsetWidth: width, offsetHeight: height } = tip;
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8)) + 'px';
    tip.style.top = (event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16) + 'px';
  };
  document.addEventListener('pointermove', show);
  document.addEventListener('pointerdown', show);
  document.addEventListener('scroll', () => { tip.hidden = true; }, { passive: true });
})();
`;
