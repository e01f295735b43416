/** Whole numbers in words, up to a million: "twenty-five", "one hundred and two". Pure. */

const small: Readonly<Record<string, number>> = Object.fromEntries(
  (
    'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen ' +
    'eighteen nineteen'
  )
    .split(' ')
    .map((word, i) => [word, i]),
);
const tens: Readonly<Record<string, number>> = Object.fromEntries(
  'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ').map((word, i) => [word, 10 * (i + 2)]),
);
const word = [...Object.keys(small), ...Object.keys(tens), 'hundred', 'thousand'].join('|');
const phrase = String.raw`(?:${word})(?:(?:[\s-]|\sand\s)(?:${word}))*`;
const stated = new RegExp(
  String.raw`\b(?:answer|result|total)\b\W*(?:(?:is|was|of|equals)\b|[:=])\W*(${phrase})\b(?![^.\n]*\d)`,
  'gi',
);
const anywhere = new RegExp(String.raw`\b(${phrase})\b`, 'gi');

/** The number that is stated as the answer in words; of a text without digits the last one. Null where there is none. */
export function spelledAnswer(text: string): number | null {
  const said = [...text.matchAll(stated)].at(-1)?.[1] ?? (/\d/.test(text) ? undefined : lastPhrase(text));
  return said === undefined ? null : countOf(said);
}

/** "One" alone may be a pronoun. */
function lastPhrase(text: string): string | undefined {
  const found = [...text.matchAll(anywhere)].map(([, said = '']) => said);
  return found.findLast(
    said => said.toLowerCase() !== 'one' || text.trim().length < 'one apple.'.length + said.length,
  );
}

function countOf(said: string): number {
  let [sum, part] = [0, 0];
  for (const name of said.toLowerCase().split(/[\s-]+/)) {
    if (name === 'hundred') part = Math.max(1, part) * 100;
    else if (name === 'thousand') [sum, part] = [sum + Math.max(1, part) * 1000, 0];
    else part += small[name] ?? tens[name] ?? 0;
  }
  return sum + part;
}
