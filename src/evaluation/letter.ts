/** Which option an answer in words names: by its letter, or by its text. Pure. */
import { spokenPart } from './answer-part.ts';
import type { Judge } from './scorer.ts';

const names = 'ABCDEFGHIJ';

/** The letter of the right option, or its text; the row may name the options. */
export const letterScorer: Judge = {
  name: 'letter',
  version: 1,
  problemOf: ({ gold }) =>
    gold !== null && /^[A-J]$/.test(gold) ? null : 'the gold answer is not the letter of an option',
  judge: ({ gold, record: { options } }, { text }) => {
    const place = optionNamed(text, Array.isArray(options) ? options.map(String) : [...names].map(() => ''));
    const extracted = place === null ? null : (names[place] ?? null);
    return { score: Number(extracted === gold), extracted };
  },
};

/** The place of the option, from 0; null where none is named, or two are and neither is the answer. */
export function optionNamed(text: string, options: readonly string[]): number | null {
  const said = plain(text);
  return stated(said, options) ?? alone(said, options) ?? byText(said, options) ?? lastLine(said, options);
}

/** Without thoughts and a next question, and without what only sets letters apart. */
function plain(text: string): string {
  return spokenPart(text)
    .replace(/\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}/g, '$1')
    .replace(/\\f?boxed\s*\{([^{}]*)\}/g, 'The answer is $1.\n')
    .replace(/[*_`$"“”]|<\/?(?:answer|b|strong)>/gi, match =>
      /^<answer>/i.test(match) ? 'The answer is ' : '',
    )
    .trim();
}

const statement = new RegExp(
  [
    String.raw`\b(?:answer|choice|option|select|choose|pick)\b(?:\s+(?:to|for|here)\s[^\n.:]{0,60}?)?`,
    String.raw`\s*(?:is|was|would be|should be|must be|seems to be|[:=])(?!\s*not\b)[\s:]*`,
    String.raw`(?:(?:the\s+)?(?:option|choice|letter|answer)\b[\s:]*)?`,
  ].join(''),
  'gi',
);
const chosen =
  /\b(?:I(?:'d| would| will)? (?:choose|select|pick|go with)|(?:is|be) option)\s+(?:option\s+)?/gi;
const isCorrect =
  /(?:^|[\s(])(?:option\s+)?\(?([A-J])\)?\s+(?:is|seems|must be)\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best)\b/g;

/** What the last statement of an answer says. */
function stated(said: string, options: readonly string[]): number | null {
  const found = [...said.matchAll(statement), ...said.matchAll(chosen)].flatMap(match => {
    const end = match.index + match[0].length;
    const place = atStart(said.slice(end), options);
    return place === null ? [] : [{ end, place }];
  });
  for (const match of said.matchAll(isCorrect)) {
    const place = placeOf(match[1] ?? '', options);
    if (place !== null) found.push({ end: match.index, place });
  }
  return found.sort((a, b) => a.end - b.end).at(-1)?.place ?? null;
}

/** A letter, or the text of an option, that a text begins with. A large A before a word is no letter but where it gives a reason. */
function atStart(rest: string, options: readonly string[]): number | null {
  const byWords = longest(options, option => startsWithWords(rest, option));
  const [, open = '', letter = '', next = ''] =
    /^\s*([([]?)\s*([A-Ja-j])(?![\w'’])([\s\S]{0,40})/.exec(rest) ?? [];
  const isLetter =
    letter !== '' &&
    (open !== '' ||
      /^\s*(?:[.):,;\]–—-]|$|\n)/.test(next) ||
      /^\s+(?:because|since|as|and|for|which|is)\b/i.test(next)) &&
    (open !== '' || letter === letter.toUpperCase() || next.trim() === '' || /^\s*[.)\]]/.test(next));
  return isLetter ? (placeOf(letter, options) ?? byWords) : byWords;
}

/** The whole answer is a letter, or begins with one and a mark. */
function alone(said: string, options: readonly string[]): number | null {
  const [, letter = ''] =
    /^\s*[([]?\s*([A-Ja-j])\s*(?:[)\].:,]|$|\n)/.exec(said) ?? /^\s*option\s+([A-J])\b/i.exec(said) ?? [];
  return letter === '' || listsOptions(said) ? null : placeOf(letter, options);
}

/** Says the options over again, one a line. */
function listsOptions(said: string): boolean {
  return new Set([...said.matchAll(/(?:^|\n)\s*\(?([A-J])[).:]\s/g)].map(([, name]) => name)).size > 1;
}

/** The whole answer is the text of one option. */
function byText(said: string, options: readonly string[]): number | null {
  const [first = ''] = said.split('\n');
  return longest(options, option => words(first) === words(option));
}

/** The one letter of the last line that stands as a name. */
function lastLine(said: string, options: readonly string[]): number | null {
  const last = said.split('\n').findLast(line => line.trim() !== '') ?? '';
  if (/\bnot\b|n['’]t\b|\bneither\b/i.test(last) || listsOptions(said)) return null;
  const found = new Set(
    [
      ...last.matchAll(
        /(?:\(([A-J])\)|\b(?:option|choice|answer)\s+([A-J])\b|(?:^|\s)([B-HJ])(?=[.,;:)]?(?:\s|$)))/g,
      ),
    ].map(([, a, b, c]) => a ?? b ?? c ?? ''),
  );
  const [only] = found;
  return found.size === 1 && only !== undefined ? placeOf(only, options) : null;
}

function placeOf(letter: string, { length }: readonly string[]): number | null {
  const place = names.indexOf(letter.toUpperCase());
  return place >= 0 && place < length ? place : null;
}

function startsWithWords(text: string, option: string): boolean {
  const [said, wanted] = [words(text), words(option)];
  return wanted !== '' && (said === wanted || said.startsWith(`${wanted} `));
}

/** The option with the longest text that fits; null where none does, or two of one length do. */
function longest(options: readonly string[], fits: (option: string) => boolean): number | null {
  const places = [...options.keys()].filter(place => fits(options[place] as string));
  const most = Math.max(...places.map(place => (options[place] as string).length));
  const best = places.filter(place => (options[place] as string).length === most);
  return best.length === 1 ? (best[0] as number) : null;
}

function words(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}.%°]+/gu, ' ')
    .replace(/\.(?!\d)/g, '')
    .trim();
}
