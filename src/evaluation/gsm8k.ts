/** The number that an answer ends in, as GSM8K is scored. Pure. */

/** Raise it when any answer could be scored differently; results of different versions do not compare. */
export const gsm8kVersion = 1;

/** A minus sign that does not stand between two terms, `$`, a minus behind it. */
const sign = /(?:(?<![\w)\]])([-−]))?(?:\$([-−]?))?/;

/** Digits with or without commas by threes, and decimals; a dot behind is no part of it. */
const digits = /((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+)/;

const everyNumber = new RegExp(`${sign.source}${digits.source}`, 'g');
const markedNumber = new RegExp(`####\\s*${sign.source}${digits.source}`);

/** The number right behind the first `####` that has one, else the last number of all; null without any. */
export function finalNumber(text: string): number | null {
  const match = markedNumber.exec(text) ?? [...text.matchAll(everyNumber)].at(-1);
  if (!match) return null;
  const [, before, behind, size = ''] = match;
  return (before || behind ? -1 : 1) * Number(size.replaceAll(',', ''));
}
