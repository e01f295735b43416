/** report.md: the numbers of the report without its figures. Pure. */
import { changeText } from './changes.ts';
import { exclusionNotes, tableNotes } from './columns.ts';
import { flipsOf, setRows, type TrainingFlips } from './flips.ts';
import { amount, counted, duration, fixed, percent, settingText, withInterval } from './format.ts';
import { gateOf, gateSentence } from './gate.ts';
import { lastPoint, type Point } from './points.ts';
import type { Results } from './results.ts';
import { costLines, loadingLines } from './row-costs.ts';
import type { Analysis } from './rows.ts';
import { cautions, curriculumSentences, differenceSentences, statusSentence } from './summary.ts';
import { markdownTable, wideCells } from './table.ts';
import { verdictText } from './verdicts.ts';

/** The whole page. */
export function reportMarkdown(analysis: Analysis): string {
  const { results } = analysis;
  const status = statusSentence(results);
  const lines = [
    `# ${results.name}`,
    '',
    `Method ${results.run.method}, ${results.run.status}, begun ${results.run.startedAt}. Figures and answers: report.html.`,
    ...(status === null ? [] : ['', `> ${status}`]),
    ...section('Results', resultLines(analysis)),
    ...section('Accuracy on each set', setLines(analysis)),
    ...section('Items that changed', flipLines(analysis)),
    ...section(
      'Targets that were drawn',
      curriculumSentences(results).map(sentence => `- ${sentence}`),
    ),
    ...section('Cost', costTable(analysis)),
    ...section('The trained model', modelLines(results)),
    ...section('Settings that the paper does not state', guessedTable(results)),
    ...section('Environment', environmentLines(results)),
    '',
  ];
  return escaped(lines).join('\n');
}

/** Names, errors and notes of a run are text: none of them becomes a tag, and none begins a line of its own. */
function escaped(lines: readonly string[]): string[] {
  let isCode = false;
  return lines.map(line => {
    if (line.startsWith('```')) isCode = !isCode;
    const one = line.replace(/\s*[\r\n]+\s*/g, ' ');
    return isCode ? one : one.replaceAll('<', '&lt;');
  });
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `## ${title}`, '', ...lines];
}

/** The table with its notes and findings. */
export function resultLines(analysis: Analysis): string[] {
  if (analysis.rows.length === 0) return ['Nothing has been evaluated yet.'];
  const findings = differenceSentences(analysis).map(sentence => `- ${sentence}`);
  const gate = gateOf(analysis);
  return [
    ...markdownTable(wideCells(analysis)),
    '',
    ...[...exclusionNotes(analysis.rows), ...tableNotes(analysis)].map(note => `- ${note}`),
    ...(gate === null ? [] : ['', gateSentence(gate)]),
    ...(findings.length === 0 ? [] : ['', ...findings, '', cautions]),
  ];
}

/** Accuracy on each set, of the base and of what each training ended with. */
export function setLines({ base, curves, lookOf }: Analysis): string[] {
  const points = [base, ...curves.map(lastPoint)].filter((point): point is Point => point !== null);
  const [first] = points;
  if (first === undefined) return [];
  const head = ['set', 'role', 'items', ...points.map(({ training }) => lookOf(training).label)];
  const rows = first.sets.map(({ name, role, items }) => {
    const accuracies = points.map(({ sets }) => {
      const set = sets.find(other => other.name === name);
      return set === undefined
        ? ''
        : withInterval(set.accuracy, set.interval, fixed, value => fixed(value, 2));
    });
    return [name, role, String(items), ...accuracies];
  });
  return markdownTable([head, ...rows]);
}

function flipLines(analysis: Analysis): string[] {
  const flips = flipsOf(analysis);
  const head = ['Δ [95 % CI] and verdict', ...flips.map(({ label }) => label)];
  const rows = flips.map(setRows);
  const cells = (rows[0] ?? []).map(({ name }, i) => [
    name,
    ...rows.map(sets => setText(sets[i], analysis.margin)),
  ]);
  return flips.length === 0 ? [] : [...countLines(flips), '', ...markdownTable([head, ...cells])];
}

function setText(set: ReturnType<typeof setRows>[number] | undefined, margin: number): string {
  if (set === undefined) return '';
  const verdict = set.verdict === null ? '' : ` ${verdictText({ ...set, margin })}`;
  return `${changeText(set.change)}${verdict}`;
}

function countLines(flips: readonly TrainingFlips[]): string[] {
  return flips.map(({ label, step, items, sets }) => {
    const lost = items.filter(({ direction }) => direction === 'right→wrong').length;
    const all = sets.reduce((sum, set) => sum + set.items, 0);
    return `- ${label}, step ${step}, against the base: ${lost} right→wrong and ${items.length - lost} wrong→right of ${counted(all, 'item')}.`;
  });
}

function costTable({ results, lookOf }: Analysis): string[] {
  const rows = costLines(results).map(({ training, kind, seconds, tokens, share }) => [
    `${lookOf(training).label} ${kind}`,
    duration(seconds),
    percent(share),
    tokens === 0 ? '' : amount(tokens),
  ]);
  return rows.length === 0 ? [] : markdownTable([['training', 'time', 'share', 'tokens'], ...rows]);
}

function modelLines(results: Results): string[] {
  return results.model === null
    ? []
    : [`${results.model.training.label}:`, '', ...fenced('python', loadingLines(results))];
}

function guessedTable({ guessed }: Results): string[] {
  const rows = guessed.map(({ key, value, why }) => [`\`${key}\``, settingText(value), why]);
  return rows.length === 0
    ? []
    : markdownTable([['setting', 'value', 'where a value can come from'], ...rows], 'texts');
}

function environmentLines({ environment, run, directory }: Results): string[] {
  const digests = [
    `- Directory ${directory}, run ${run.id}, tms ${run.tmsVersion}`,
    `- Digests: configuration ${run.configDigest}, base model ${run.baseDigest}, data ${run.dataDigest}`,
  ];
  if (environment === null) return digests;
  const { device, threads, platform, node, versions, determinism, git, notes } = environment;
  const pairs = (record: Readonly<Record<string, string>>) =>
    Object.entries(record)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ');
  return [
    ...digests,
    `- ${device}, ${counted(threads, 'thread')}, ${platform}, node ${node}, ${pairs(versions)}`,
    `- Determinism: ${pairs(determinism)}`,
    `- Git: ${git === null ? 'not a repository' : `${git.commit}${git.isDirty ? ' with uncommitted changes' : ''}`}`,
    ...notes.map(note => `- ${note}`),
  ];
}

function fenced(language: string, lines: readonly string[] | null): string[] {
  return lines === null ? [] : [`\`\`\`${language}`, ...lines, '```'];
}
