/**
 * Numbers in the text of an answer. English rules: a dot is the decimal point; commas, spaces and apostrophes by threes are thousands
 * (by twos before the last three, too, as in 1,00,000). A comma before one or two last digits (12,5) and dots by threes that cannot be
 * English (1.234.567, 1.234,50) are read as written in Europe; 1.234 is a little more than one. Pure.
 */

/** One number; `start` and `end` with its sign and currency. */
export type FoundNumber = {
  readonly value: number;
  /** The value without a word such as `million`, which may as well be the unit. */
  readonly written: number;
  readonly start: number;
  readonly end: number;
  /** It names or counts something (`Step 3:`, `2.` before an item, `3rd`, `x_1`, `5:30`), and is an answer only where nothing else is. */
  readonly isLabel: boolean;
};

const thousandsSpace = "[ \\u00a0\\u2009\\u202f\\u2007'’]";
const sizes = [
  String.raw`\d{1,3}(?:\.\d{3})+,\d{1,2}(?!\d)`, // 1.234,50
  String.raw`\d{1,3}(?:\.\d{3}){2,}(?![\d,]|\.\d)`, // 1.234.567
  String.raw`\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?![\d,]\d|\d)`, // 1,00,000
  String.raw`\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?`, // 1,234.5
  String.raw`\d{1,3}(?:${thousandsSpace}\d{3})+(?![\d-])(?:\.\d+|,\d{1,2}(?![\d,]))?`, // 120 000
  String.raw`(?<![\d,]\s?,\s?)(?<!\()\d+,\d{1,2}(?![\d,]|\s*\))`, // 12,5
  String.raw`\d+(?:\.\d+)?`,
  String.raw`(?<![\w.])\.\d+`,
];
const clock = String.raw`(?<hours>\d{1,2}):(?<minutes>\d{2})(?::\d{2})?(?![\d:])`;
const mixed = String.raw`(?:(?<whole>\d+)[ +]\s*)?(?<![\d/.])(?<over>\d+)\/(?<under>\d+)(?![\d/]|\.\d)`;
const exponent = String.raw`(?:[eE](?<e>[+-]?\d{1,3})(?!\w)|\s*[×x*·]\s*10\s*\^\s*[({]?(?<ten>[-−+]?\d{1,3})[)}]?)?`;
const scale = String.raw`(?:[ -]?(?<scale>thousand|million|billion|trillion)\b|(?<k>[kK])(?!\w))?`;
const everyNumber = new RegExp(
  `${clock}|${mixed}|(?<size>${sizes.join('|')})(?:\\^\\{?(?<power>\\d{1,2})\\}?|${exponent}${scale})`,
  'g',
);

const scales = { thousand: 1e3, million: 1e6, billion: 1e9, trillion: 1e12 } as const;

/** Characters before and behind a number that tell what it is. */
const contextLength = 60;

/** Every number, in order. */
export function numbersIn(text: string): FoundNumber[] {
  return [...text.matchAll(everyNumber)].flatMap(match => {
    const groups = match.groups ?? {};
    const { sign, start } = signBefore(text, match.index);
    const [size, factor] = sizeOf(groups, text.slice(start, match.index));
    if (!Number.isFinite(size)) return [];
    const end = match.index + match[0].length;
    const isLabel = isTimeOfDay(groups) || names(text, match.index, end);
    return [{ value: sign * size * factor, written: sign * size, start, end, isLabel }];
  });
}

/** Size and the factor of a word behind it. */
function sizeOf(groups: Record<string, string | undefined>, before: string): [size: number, factor: number] {
  const { hours, minutes, whole, over, under, size = '', power, e, ten, scale: word, k } = groups;
  if (hours !== undefined) return [Number(hours) + Number(minutes) / 60, 1];
  if (over !== undefined) return [Number(whole ?? 0) + Number(over) / Number(under), 1];
  const digits = plainDigits(size);
  if (power !== undefined) return [Number(digits) ** Number(power), 1];
  const tens = e ?? ten?.replace('−', '-');
  const factor = word === undefined ? 1 : scales[word as keyof typeof scales];
  return [Number(`${digits}e${tens ?? 0}`), k !== undefined && /[$€£]/.test(before) ? 1000 : factor];
}

function plainDigits(size: string): string {
  const isEuropean = /,\d{1,2}$|^\d{1,3}(?:\.\d{3}){2,}$/.test(size);
  const english = isEuropean ? size.replaceAll('.', '').replace(',', '.') : size;
  return english.replaceAll(/[^\d.]/g, '');
}

/** A time is the number of its hour on the hour alone. */
function isTimeOfDay({ minutes }: Record<string, string | undefined>): boolean {
  return minutes !== undefined && minutes !== '00';
}

const currency = String.raw`(?:(?:US|CA|AU|A|C)?[$€£¥₹₱]|\b(?:USD|EUR|GBP|INR|CAD|AUD|Rs\.?|PHP))`;
const minus = '[-−–‐‑﹣－]';
const signAndCurrency = new RegExp(
  `(?:(?<outer>${minus})(?<gap>[\\s*_]*))?(?<money>${currency}\\s*)?(?<inner>${minus}\\s*)?$`,
);
/** What a minus may stand behind with a space after it. */
const takesValue =
  /(?:[=:(≈~]|\b(?:is|are|was|were|be|been|equals?|equal to|to|of|by|about|around|gives?|get|becomes?|makes?))[\s*_$({]*$/i;

/** A minus that is no sign stands between two terms, or begins an item of a list. */
function signBefore(text: string, at: number): { sign: 1 | -1; start: number } {
  const before = text.slice(Math.max(0, at - contextLength), at);
  const { outer, gap = '', money = '', inner } = signAndCurrency.exec(before)?.groups ?? {};
  const prior = before.slice(
    0,
    before.length - (outer ?? '').length - gap.length - money.length - (inner ?? '').length,
  );
  if (inner !== undefined && (money !== '' || outer === undefined))
    return isSign(text, at, prior, inner.slice(1))
      ? { sign: -1, start: at - before.length + prior.length }
      : { sign: 1, start: at };
  if (outer !== undefined && isSign(text, at, prior, gap))
    return { sign: -1, start: at - before.length + prior.length };
  const sign = /(?:\bnegative|(?:^|\b(?:is|was|are|to|of|by)|[:=])\s*minus)\s*$/i.test(prior) ? -1 : 1;
  return { sign, start: at - money.length };
}

function isSign(text: string, at: number, prior: string, gap: string): boolean {
  if (/[\d)\]}%°]\s*$/.test(prior) || /\w$/.test(prior)) return false;
  if (!/\s/.test(gap)) return true;
  const isWhole = prior.trim() === '' && at < contextLength && !text.trim().includes('\n');
  return isWhole || takesValue.test(prior);
}

const namedBefore =
  /\b(?:step|part|question|problem|example|case|method|option|approach|equation|day|week|month|year|item|phase|stage)\s*#?\s*$/i;

/** Is the number at `start` part of a name, a place in a list, an ordinal or an index? */
function names(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - contextLength), start);
  const line = before.slice(before.lastIndexOf('\n') + 1);
  const after = text.slice(end, end + contextLength);
  if (/^(?:st|nd|rd|th)\b/.test(after) || isBound(line, after)) return true;
  if (/[_^]\{?$/.test(line) || /#$/.test(line)) return true;
  if (/[A-Za-z]$/.test(line) && !/(?:\d\s?[x×]|USD|EUR|GBP|INR|Rs)$/.test(line)) return true;
  if (namedBefore.test(line) && /^\**\s*(?:[:.)\]]|–|-\s|$|\n)/.test(after)) return true;
  if (!/^[\s>#*_-]*$/.test(line) && !/^\s*\($/.test(line)) return false;
  return /^[.):]\**(?:[ \t]+\S|\**[ \t]*\n\s*\S)/.test(after) || isNextItem(text, start, end);
}

/** An end of what lies "between 10 and 20". */
function isBound(before: string, after: string): boolean {
  const number = String.raw`[$€£]?\d[\d,.]*`;
  return (
    (/\bbetween\s[$€£]?$/i.test(before) && new RegExp(`^[\\w ]{0,20}\\sand\\s${number}`).test(after)) ||
    new RegExp(String.raw`\bbetween\s${number}[\w ]{0,20}\sand\s[$€£]?$`, 'i').test(before)
  );
}

/** `4.` at the end of a list that broke off behind item 3. */
function isNextItem(text: string, start: number, end: number): boolean {
  if (text.length - end > contextLength || !/^[.)]\**\s*$/.test(text.slice(end))) return false;
  const number = Number(text.slice(start, end));
  return new RegExp(`(?:^|\\n)[\\s*]*${number - 1}[.)]`).test(text.slice(0, start));
}
