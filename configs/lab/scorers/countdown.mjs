/**
 * Target D of the lab: `D6387>10=` asks for each of the digits once, in any order, each with a sign, so that they add up to 10;
 * `+8-7+6+3` is right, among others. A comment from `#` on is allowed. The answer has to end by itself.
 */

/** Raise it when any answer could be scored differently. */
export const version = 1;

export function score({ prompt }, answer, { isFinished }) {
  const [, digits, value] = /^D([1-9]+)>(\d\d)=$/.exec(prompt) ?? [];
  if (digits === undefined) throw new Error(`${JSON.stringify(prompt)} does not look like D6387>10=`);
  const [expression = ''] = answer.split('#');
  if (!isFinished || !/^([+-][1-9])+$/.test(expression)) return false;
  const terms = expression.match(/../g) ?? [];
  const used = terms.map(term => term[1]);
  const sum = terms.reduce((total, term) => total + Number(term), 0);
  return sum === Number(value) && used.sort().join('') === [...digits].sort().join('');
}
