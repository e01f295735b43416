/** Which option of a question is right: by the type of its answer, or as the set says; what could be two of them is refused. Pure. */
import type { answerReadings } from '../config/set-settings.ts';
import { ExactNumber, isNumber, writtenText } from '../data/json.ts';
import { ColumnError } from '../data/template.ts';

export type Asked = {
  readonly answer: unknown;
  readonly options: readonly string[];
  /** Labels of the options in their order, or null. */
  readonly labels: readonly string[] | null;
  /** Null: by the type of the answer. */
  readonly reading: (typeof answerReadings)[number] | null;
};

/** The place of the right option, from 0. Throws `ColumnError`. */
export function rightOption(asked: Asked): number {
  const written = writtenText(asked.answer);
  if (written === null) throw new ColumnError('the answer is null');
  checkLabels(asked);
  switch (asked.reading) {
    case 'index':
      return indexed(asked, 0);
    case 'index_from_1':
      return indexed(asked, 1);
    case 'label':
      return labelled(asked, written);
    case 'option':
      return placeOf(asked, written, asked.options, 'one of the options');
    case null:
      return byType(asked, written);
  }
}

function byType(asked: Asked, written: string): number {
  const { answer, labels } = asked;
  if (typeof answer === 'number' && Number.isInteger(answer)) return plainIndex(asked, answer);
  if (typeof answer === 'boolean' && labels === null) return affirmed(asked, answer);
  if (typeof answer !== 'string' && typeof answer !== 'boolean')
    throw wrong(asked, 'an index (a whole number), a label or an option (a text); answer_is says which');
  return labels === null ? plainText(asked, written) : labelled(asked, written);
}

/** An integer is an index, but for a label that is another option's. */
function plainIndex(asked: Asked, answer: number): number {
  const place = asked.labels?.indexOf(String(answer)) ?? -1;
  if (place < 0 || place === answer) return indexed(asked, 0);
  throw new ColumnError(
    `the answer ${answer} is the index of one option and the label of another; say with answer_is: index or answer_is: label`,
  );
}

/** `true` is the option that says so, wherever it stands. */
function affirmed({ options }: Asked, answer: boolean): number {
  const words = answer ? ['true', 'yes'] : ['false', 'no'];
  const places = options.flatMap((option, i) => (words.includes(option.trim().toLowerCase()) ? [i] : []));
  const [place] = places;
  if (place !== undefined && places.length === 1) return place;
  throw new ColumnError(
    `the answer is ${answer}, and ${place === undefined ? 'no option says' : 'several options say'} ${words.join(' or ')}; ` +
      'name the options with columns.labels, such as ["false", "true"]',
  );
}

/** Without labels a text is an option, unless it could as well be the number or the letter of one. */
function plainText(asked: Asked, written: string): number {
  const { options } = asked;
  const option = options.indexOf(written);
  const others = placesMeant(written).filter(place => place >= 0 && place < options.length);
  if (option >= 0 && others.every(place => options[place] === written)) return option;
  if (others.length === 0)
    return placeOf(asked, written, options, `an index from 0 to ${options.length - 1} or one of the options`);
  const how = /\d/.test(written)
    ? 'answer_is: index, index_from_1 or option'
    : 'columns.labels: [A, B, C, D] or answer_is: option';
  throw new ColumnError(
    `the answer ${JSON.stringify(written)} is a text that may be ${option < 0 ? '' : 'an option, or '}the ` +
      `${/\d/.test(written) ? 'number (from 0 or from 1)' : 'letter'} of one; say with ${how}`,
  );
}

/** Places that a text may stand for as a number, from 0 and from 1, or as a letter. */
function placesMeant(written: string): number[] {
  const text = written.trim();
  if (/^\d{1,9}$/.test(text)) return [Number(text), Number(text) - 1];
  return /^[A-Za-z]$/.test(text) ? [text.toUpperCase().charCodeAt(0) - 'A'.charCodeAt(0)] : [];
}

function indexed(asked: Asked, first: 0 | 1): number {
  const { answer, options } = asked;
  const written = writtenText(answer) ?? '';
  const last = first + options.length - 1;
  const isWhole = /^-?\d+(?:\.0+)?$/.test(written) && (isNumber(answer) || typeof answer === 'string');
  const place = Number(written) - first;
  if (isWhole && !Object.is(place, -0) && place >= 0 && place < options.length) return place;
  throw wrong(asked, `an index from ${first} to ${last}`);
}

function labelled(asked: Asked, written: string): number {
  if (asked.labels === null) throw new ColumnError('answer_is label, but columns.labels is not given');
  const { options } = asked;
  const labels = asked.labels.slice(0, options.length);
  return placeOf(asked, written, labels, `one of ${labels.join(', ')}`);
}

function placeOf(asked: Asked, written: string, names: readonly string[], expected: string): number {
  const place = names.indexOf(written);
  if (place >= 0) return place;
  throw wrong(asked, expected);
}

function checkLabels({ labels, options }: Asked): void {
  if (labels === null) return;
  if (labels.length < options.length)
    throw new ColumnError(`${labels.length} labels for ${options.length} options`);
  const repeated = labels.find((label, i) => labels.indexOf(label) < i);
  if (repeated !== undefined) throw new ColumnError(`the label ${JSON.stringify(repeated)} stands twice`);
}

function wrong({ answer }: Asked, expected: string): ColumnError {
  const shown = answer instanceof ExactNumber ? answer.written : JSON.stringify(answer);
  return new ColumnError(`the answer is ${shown}, not ${expected}`);
}
