/**
 * The final answer of a solution, as LaTeX: what the last box holds, else what is stated as the answer, else what the last line comes
 * to. Of several boxes in a row ("\boxed{1} and \boxed{2}") all. A box that is not closed is no answer. Pure.
 */
import { closingBrace, spokenPart } from './answer-part.ts';

/** Raise it when any answer could be scored differently. */
export const mathVersion = 3;

/** The final answer; null where none is to be found. */
export function mathAnswer(text: string): string | null {
  const said = spokenPart(text).replace(hope, '').trim();
  const boxes = boxesIn(said);
  const last = boxes.at(-1);
  if (last !== undefined) return statedAtLast(said.slice(last.end)) ?? (boxed(said, boxes) || null);
  const found = marked(said) ?? stated(said) ?? concluded(said);
  return found === null || found.trim() === '' ? null : found.trim();
}

/** How answers end in the prompt of Minerva (2206.14858). */
const hope = /\s*I hope (?:it|this|that) is correct\.?(?=\s*$)/i;

/** The answer of the data: that of a whole solution, or as it stands. */
export function mathGold(gold: string): string | null {
  const boxes = boxesIn(gold);
  const answer = boxes.length > 0 ? boxed(gold, boxes) : gold.trim();
  return answer === '' ? null : answer;
}

/** Two answers that are the same but for white space. */
export function isSameText(one: string, other: string): boolean {
  const plain = (text: string) => text.replace(/\s+(?!\w)|(?<!\w)\s+/g, '');
  return plain(one) === plain(other);
}

type Box = { readonly start: number; readonly end: number; readonly content: string | null };

/** Outermost boxes; `content` is null of one that is not closed. */
function boxesIn(text: string): Box[] {
  const boxes: Box[] = [];
  for (const { index, 0: command } of text.matchAll(/\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*/g)) {
    if (index < (boxes.at(-1)?.end ?? 0)) continue;
    const start = index + command.length;
    if (text[start] === '{') {
      const end = closingBrace(text, start);
      const inside = end === null ? null : text.slice(start + 1, end);
      boxes.push({ start: index, end: (end ?? text.length) + 1, content: inside });
    } else {
      const [word = ''] = /^[^\s$,.;\\]+|^\\[a-zA-Z]+(?:\{[^{}]*\})*/.exec(text.slice(start)) ?? [];
      boxes.push({ start: index, end: start + word.length, content: word });
    }
  }
  return boxes;
}

const spaces = String.raw`(?:\s|\$|\\q?quad(?![a-zA-Z])|\\[,;:! ()[\]])*`;
const between = new RegExp(
  [
    String.raw`^${spaces}(?:\\(?:text|mbox|textrm)\s*\{)?\s*(?:,\s*(?:and|or)|,|;|and|or)\s*\}?${spaces}`,
    String.raw`(?:[a-zA-Z](?:_\{?\w+\}?)?\s*(?:=|\\in)${spaces})?$`,
  ].join(''),
);

/** The last box, with those that stand in a row with it. */
function boxed(text: string, boxes: readonly Box[]): string | null {
  const last = boxes.at(-1) as Box;
  if (last.content === null) return null;
  const row = [last];
  for (const box of boxes.slice(0, -1).reverse()) {
    const isNext = between.test(text.slice(box.end, (row[0] as Box).start));
    if (!isNext || box.content === null) break;
    row.unshift(box);
  }
  return [...new Set(row.map(({ content }) => (content ?? '').trim()))].join(', ');
}

/** `#### x`. */
function marked(text: string): string | null {
  return [...text.matchAll(/(?:^|\n)####[ \t]*([^\n#]+)/g)].at(-1)?.[1] ?? null;
}

const statement = new RegExp(
  [
    String.raw`(?:\bfinal\s+answers?|\banswers?|\bsolutions?|\bresult)\b["'*_]*`,
    String.raw`(?:\s+(?:to|of|for)\s[^\n.:=]{0,80}?)?\s*`,
    String.raw`(?:(?:is|are|was|will be|would be|should be|must be|equals)\b(?!\s+not\b)|[:=])[\s*_:]*`,
    String.raw`(?:(?:therefore|thus|then|simply|just|indeed|given by|equal to|approximately|about)\b[\s,:*]*)*`,
  ].join(''),
  'gi',
);
/** `**Final answer**` on a line of its own, and `Answer` before mathematics. */
const heading = /(?:^|\n)[ \t#*_]*(?:final[ \t]+)?answers?[ \t*_]*(?:\n+|(?=\$|\\[([]))/gi;
const tag = /<answer>\s*([\s\S]*?)\s*(?:<\/answer>|$)/gi;

/** What a text calls its final answer, in mathematics; that of a part or of a step may stand in a box before it. */
function statedAtLast(text: string): string | null {
  const last = [...text.matchAll(statement)].filter(([said]) => /^final/i.test(said)).at(-1);
  return last === undefined ? null : leadingSpans(text.slice(last.index + last[0].length));
}

/** What is stated last. */
function stated(text: string): string | null {
  const tagged = [...text.matchAll(tag)].at(-1)?.[1];
  if (tagged !== undefined) return spansOf(tagged) ?? tagged;
  const last = [...text.matchAll(statement), ...text.matchAll(heading)]
    .sort((a, b) => a.index - b.index)
    .at(-1);
  return last === undefined ? null : saidIn(text.slice(last.index + last[0].length));
}

/** The answer that a statement goes on with: mathematics, what a sentence says that something is, or the sentence. */
function saidIn(rest: string): string | null {
  const leading = leadingSpans(rest);
  if (leading !== null) return leading;
  const sentence = sentenceOf(rest);
  const copula = [...outsideSpans(sentence).matchAll(/[a-zA-Z$)]\s+(?:is|are|equals|was)\s+(?!not\b)/g)].at(
    -1,
  );
  if (copula !== undefined) return saidIn(sentence.slice(copula.index + copula[0].length));
  const isProse = (sentence.replace(/\\[a-zA-Z]+|\{[^{}]*\}/g, '').match(/[a-zA-Z]{2,}/g) ?? []).length > 4;
  return isProse ? (spansOf(sentence) ?? lastNumber(sentence)) : sentence.replace(/^\*+|\*+$/g, '');
}

/** To the end of the sentence: a dot before white space, or the line. */
function sentenceOf(rest: string): string {
  const [sentence = ''] = /^(?:[^\n.]|\.(?!\s|$|\*))*/.exec(rest.trimStart()) ?? [];
  return sentence.trim();
}

const span = /\$\$([\s\S]+?)\$\$|\$((?:\\\$|[^$])+?)\$(?!\d)|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]/g;

function contentOf(match: RegExpExecArray | RegExpMatchArray): string {
  return (match[1] ?? match[2] ?? match[3] ?? match[4] ?? '').trim();
}

/** Mathematics that a text begins with, and what stands in a row with it. */
function leadingSpans(text: string): string | null {
  const found: string[] = [];
  let end = 0;
  for (const match of text.matchAll(span)) {
    const gap = text.slice(end, match.index);
    if (found.length === 0 ? !/^[\s*_:]*$/.test(gap) : !/^\s*(?:,|and|or|,\s*(?:and|or))\s*$/.test(gap))
      break;
    found.push(contentOf(match));
    end = match.index + match[0].length;
  }
  return found.length === 0 ? null : found.join(', ');
}

/** The last mathematics of a text. */
function spansOf(text: string): string | null {
  const last = [...text.matchAll(span)].at(-1);
  return last === undefined ? null : contentOf(last);
}

/** The text with as many characters, none of them mathematics. */
function outsideSpans(text: string): string {
  return text.replace(span, found => '$'.repeat(found.length));
}

function lastNumber(text: string): string | null {
  return text.match(/-?(?:\d[\d,]*)?\.?\d+(?:\/\d+)?%?/g)?.at(-1) ?? null;
}

/** The whole answer where it is nothing else; else what it ends in. */
function concluded(text: string): string | null {
  if (!text.includes('\n') && isBare(text)) return bareAnswer(text);
  const display = /(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[\s.]*$/.exec(text);
  if (display !== null) return display[1] ?? display[2] ?? null;
  const last = text.slice(text.lastIndexOf('\n') + 1);
  const [sentence = ''] = /[^.!?]*(?:[.](?!\$*\s|\\[)\]]|$)[^.!?]*)*[.!?]?\s*$/.exec(last) ?? [];
  const inLine = spansOf(sentence);
  const rest = sentence.slice(lastSpanEnd(sentence));
  if (inLine !== null && /^[\s.,!*]*(?:[a-zA-Z.]+[\s.,!*]*){0,3}$/.test(rest)) return inLine;
  return concludes.test(sentence) ? lastNumber(sentence) : null;
}

const concludes =
  /^\W*(?:so|thus|therefore|hence|finally|in total|in conclusion|consequently|we get|this gives)\b/i;

function bareAnswer(text: string): string {
  const around = text.replace(span, '');
  return (/[a-zA-Z]{2}/.test(around) ? null : spansOf(text)) ?? text.replace(/\.$/, '');
}

function lastSpanEnd(text: string): number {
  const last = [...text.matchAll(span)].at(-1);
  return last === undefined ? 0 : last.index + last[0].length;
}

/** No sentence: an expression, a number with its unit, a word. */
function isBare(text: string): boolean {
  const words = text.replace(/\\[a-zA-Z]+/g, ' ').match(/[a-zA-Z]{2,}/g) ?? [];
  return text.length <= 120 && (words.length <= 2 || /^\$[^$]*\$\.?$/.test(text));
}
