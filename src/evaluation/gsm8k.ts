/**
 * The number that an answer ends in, as GSM8K is scored: what stands behind `####`, else in the last `\boxed{}`, else behind the last
 * "answer is", in words, else the last number of all. Headings, numbers of steps and a next question that a model goes on with are no part of it.
 * Pure.
 */
import { answerPart, plainText } from './answer-part.ts';
import { type FoundNumber, numbersIn } from './numbers.ts';
import { spelledAnswer } from './spelled-number.ts';

/** Raise it when any answer could be scored differently; results of different versions do not compare. */
export const gsm8kVersion = 5;

/** The final number, or null without any. */
export function finalNumber(text: string): number | null {
  return findFinal(text)?.value ?? null;
}

/** Do both end in the same number? `5 million` is 5,000,000, and 5 where the question asks for millions. */
export function sameFinalNumber(text: string, gold: string): boolean {
  const found = findFinal(text);
  const expected = finalNumber(gold);
  return found !== null && expected !== null && (found.value === expected || found.written === expected);
}

function findFinal(text: string): FoundNumber | null {
  const said = answerPart(plainText(text));
  return marked(said) ?? boxed(said) ?? stated(said) ?? spelled(said) ?? concluded(said);
}

function spelled(text: string): FoundNumber | null {
  const value = spelledAnswer(text);
  return value === null ? null : { value, written: value, start: 0, end: 0, isLabel: false };
}

const answerWords = String.raw`(?:(?:the\s+)?(?:final\s+)?answer\s*(?:is|:|=)?\W*)?(?:[a-z]\s*=\W*)?`;
const beforeMarked = new RegExp(`^[^\\w#.]*${answerWords}$`, 'i');

/** Behind `####` stands the number alone, or with its unit; `#### 1. Count` and `#### 2 Sell` are headings. */
function marked(text: string): FoundNumber | null {
  const lines = [...text.matchAll(/(?<!#)####(?!#)[ \t]*(?:\n[ \t]*)?([^\n#]*)/g)].map(
    ([, line = '']) => line,
  );
  const numbers = lines.flatMap(line => {
    const [number] = numbersIn(line);
    return number && beforeMarked.test(line.slice(0, number.start))
      ? [{ number, rest: line.slice(number.end) }]
      : [];
  });
  const everyAlone = numbers.filter(({ rest }) => /^\W*$/.test(rest));
  const isCounted = everyAlone.length > 1 && everyAlone.every(({ number }, i) => number.value === i + 1);
  const alone = isCounted ? undefined : everyAlone[0];
  const withUnit = numbers.find(({ rest }) => /^\s*(?:[%°,(/]|[a-z])/.test(rest.replaceAll('*', '')));
  return (alone ?? withUnit)?.number ?? null;
}

/** The last box that has a number. */
function boxed(text: string): FoundNumber | null {
  const boxes = [...text.matchAll(/\\f?boxed\s*\{/g)].map(({ index, 0: { length } }) =>
    inBraces(text, index + length),
  );
  return boxes.map(content => numberSaid(content)).findLast(number => number !== null) ?? null;
}

const longestBox = 500;

function inBraces(text: string, start: number): string {
  let depth = 1;
  const end = Math.min(text.length, start + longestBox);
  for (let at = start; at < end; at++) {
    depth += text[at] === '{' ? 1 : text[at] === '}' ? -1 : 0;
    if (depth === 0) return text.slice(start, at);
  }
  return text.slice(start, end);
}

const statement = new RegExp(
  [
    String.raw`\b(?<strong>(?:final|correct|right|the|my|our|your)\s+)?(?:answer|result)\b["'*_]*`,
    String.raw`(?:\s+(?:to|of|for|in)\s[^\n.:=]{0,80}?)?\s*`,
    String.raw`(?<verb>(?:is|was|will be|would be|should be|must be|comes? (?:out )?to|equals?)\b(?!\s+not\b)|[*_]*[:=]|(?<=final answer["'*_]*)[*_\s]*\n)`,
  ].join(''),
  'gi',
);
const answerTag = /<answer>/gi;
const filler = new RegExp(
  String.raw`^(?:[\s*_~${'`'}"'“”:=$€£¥₹\\([{<>≈,-]|[−–]|\b(?:approximately|approx\.?|about|around|roughly|exactly|only|just|simply|then|` +
    String.raw`therefore|thus|clearly|actually|indeed|still|now|a total of|equal to|be|USD|Rs\.?|[a-z]\s*=|[A-E]\)|text)(?=[\s=)$€£{.\d]|$))*`,
  'i',
);

/** What the last statement of an answer says; where a new question begins behind one, that one's. */
function stated(text: string): FoundNumber | null {
  let last: FoundNumber | null = null;
  let end = 0;
  for (const match of [...text.matchAll(statement), ...text.matchAll(answerTag)]) {
    const start = match.index + match[0].length;
    if (last !== null && asksAnew(text.slice(end, match.index))) break;
    const isVerb = /^[a-z]/i.test(match.groups?.verb ?? '');
    const isStrong = isVerb || match.groups?.strong !== undefined || match.groups === undefined;
    const found = stateOf(text.slice(start), isStrong);
    if (found !== null) [last, end] = [found, start];
  }
  return last;
}

/** A question between two statements, but for one of a model that checks itself. */
function asksAnew(between: string): boolean {
  return (
    /\?/.test(between) &&
    !/\b(?:wait|check|verify|correct|mistake|actually|sorry|hmm|again|oops|however|reconsider)\b/i.test(
      between,
    )
  );
}

/** `Answer:` alone may head a whole solution: there only a number that is all its sentence says counts. */
function stateOf(rest: string, isStrong: boolean): FoundNumber | null {
  const sentence = sentenceOf(rest);
  const direct = numbersIn(sentence).find(
    ({ start, isLabel }) => !isLabel && isFiller(sentence.slice(0, start)),
  );
  if (direct === undefined) return isStrong ? numberSaid(sentence) : null;
  if (isStrong) return numberSaid(sentence, direct);
  const isAll =
    /^[^\d=+*/×÷]*$/.test(sentence.slice(direct.end)) &&
    sentence.slice(direct.end).trim().split(/\s+/).length <= 4;
  return isAll ? direct : null;
}

function isFiller(text: string): boolean {
  return filler.exec(text)?.[0].length === text.length;
}

/** To the end of the sentence or line, white space and marks before it aside. */
function sentenceOf(rest: string): string {
  const [lead = ''] = /^[\s*_:"'`]*/.exec(rest) ?? [];
  const [sentence = ''] =
    /^(?:[^\n.!?]|\.(?=\d)|(?<=\b(?:Rs|approx))\.)*/.exec(rest.slice(lead.length)) ?? [];
  return lead + sentence;
}

/** The number of a phrase: the first, or what an equation that begins with it comes to. */
function numberSaid(
  phrase: string,
  first = numbersIn(phrase).find(({ isLabel }) => !isLabel),
): FoundNumber | null {
  if (first === undefined) return null;
  const [clause = ''] = /^(?:[^,;]|,(?=\d))*/.exec(phrase.slice(first.start)) ?? [];
  const equation = /^[^=]*[-+*/×÷x−–][^=]*=/.exec(clause);
  if (equation === null || /\b(?:because|since|as|where|if|when)\b/i.test(clause)) return first;
  const end = first.start + clause.lastIndexOf('=');
  return numbersIn(phrase).find(({ start, isLabel }) => start > end && !isLabel) ?? first;
}

/** What a model adds behind its answer. */
const addition =
  /(?:^|[\n.!])[\s*_(>#-]*(?:note|explanation|let me know|i hope|hope this|remember|please|p\.s\.|(?:double[- ])?check|verification|if you (?:have|need|want))\b/gi;

/**
 * The last number that is no name of something. Of the last line with one: the last in bold, else what an equation comes to that ends
 * it ("9 * 2 = 18 dollars for 9 eggs"), else the last outside of brackets with words.
 */
function concluded(text: string): FoundNumber | null {
  const said = withoutAdditions(text);
  const every = candidates(said);
  const last = every.at(-1);
  if (last === undefined) return numbersIn(said).at(-1) ?? null;
  const lineStart = said.lastIndexOf('\n', last.start) + 1;
  const claim = withoutReason(said, lineStart);
  const numbers = every.filter(({ start, end }) => start >= lineStart && end <= claim.length);
  const isIn = (pattern: RegExp) => {
    const spans = [...claim.matchAll(pattern)].map(
      ({ index, 0: { length } }) => [index, index + length] as const,
    );
    return ({ start, end }: FoundNumber) => spans.some(([from, to]) => from <= start && end <= to);
  };
  const isAside = isIn(
    /,\s[$€£]?\d[\d,.]*(?:\s[a-z]+)?\s(?:more|less|fewer)\sthan\s[^\n]*|\([^()]*[A-Za-z][^()]*\)|(?<=\d\W*)\([^()]*\d\s*[-+*/×÷=][^()]*\)/g,
  );
  return (
    numbers.findLast(isIn(/\*\*[^*\n]*\*\*|__[^_\n]*__/g)) ??
    resultOf(claim, numbers) ??
    numbers.find(isIn(whole)) ??
    numbers.findLast(number => !isAside(number)) ??
    last
  );
}

const number = String.raw`[$€£]?\d[\d,]*(?:\.\d+)?%?`;

/**
 * What says itself that it is all: "a total of 60 miles in 5 hours", "7 dollars left after 3 days", "$64 for 16 glasses", "45 miles away
 * after 4 hours", "12 = 3 * 4"; where no clause follows.
 */
const whole = new RegExp(
  [
    String.raw`(?<=\ba total of\s)${number}(?![^\n]*(?:[,;:=]|\b(?:so|then|which|thus|but|each)\b))`,
    String.raw`${number}(?=(?:\s[a-z]+){0,3}?\s(?:left|remaining|in total|altogether)\b[^\d\n,;:=]*${number}[^\n,;:=]*$)`,
    String.raw`[$€£]\d[\d,]*(?:\.\d+)?(?=\sfor\s(?:[a-z]+\s)?\d+\s[a-z]+\W*$)`,
    String.raw`${number}(?=(?:\s(?!so\b|then\b|which\b|but\b|each\b|per\b|an?\b|every\b|reach)[a-z]+)*\s(?:after|at the end of)\s(?:[a-z]+\s)?\d+\s(?:second|minute|hour|day|week|month|year)s?\W*$)`,
    String.raw`${number}(?=\s*=(?:\s*${number}\s*[-+*/×÷x])+\s*${number}\W*$)`,
  ].join('|'),
  'gm',
);

/** The number behind the last `=`, where no new clause follows it. */
function resultOf(claim: string, numbers: readonly FoundNumber[]): FoundNumber | null {
  const equals = claim.lastIndexOf('=');
  const result = equals < 0 ? undefined : numbers.find(({ start }) => start > equals);
  if (result === undefined || /\w/.test(claim.slice(equals, result.start).replace(/^=\s*[a-z]?/i, '')))
    return null;
  const rest = claim.slice(result.end);
  return /[,;:!?+*/×÷]|\sx\s|\.\s+\S|\b(?:so|then|which|thus|but)\b/i.test(rest) ? null : result;
}

/** The text to the reason that its last sentence gives, where a number stands before it. */
function withoutReason(said: string, lineStart: number): string {
  const reasons = [...said.slice(lineStart).matchAll(/\s(?:because|since)\s/gi)];
  const reason = reasons.find(({ index }) => !/[.!?]\s+\S/.test(said.slice(lineStart + index))) ?? null;
  const claim = reason === null ? said : said.slice(0, lineStart + reason.index);
  return candidates(claim).some(({ start }) => start >= lineStart) ? claim : said;
}

/** What stands before a note, a check or a farewell, where that has an answer. */
function withoutAdditions(text: string): string {
  const cuts = [...text.matchAll(addition)].map(({ index }) => index);
  const cut = cuts.find(index => index > 0 && candidates(text.slice(0, index)).length > 0);
  return text.slice(0, cut);
}

function candidates(text: string): FoundNumber[] {
  return numbersIn(text).filter(({ isLabel }) => !isLabel);
}
