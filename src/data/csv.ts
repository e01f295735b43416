/** A CSV file as JSON lines: RFC 4180 with a heading, every value the text that stands there. */
import { createReadStream } from 'node:fs';
import { DataError, type LineProblem, lineErrors } from './data-error.ts';

/**
 * Line n of what comes out is of line n of the file: the heading, and further lines of a text in quotes, leave blank ones. Throws
 * `DataError` with every row that has another number of values than the heading.
 */
export async function* csvLines(path: string): AsyncGenerator<string> {
  const problems: LineProblem[] = [];
  let heading: readonly string[] | null = null;
  for await (const row of rowsOf(path)) {
    const rest = '\n'.repeat(row.lines);
    const isBlank = row.values.length === 1 && row.values[0] === '';
    if (isBlank) yield rest;
    else if (heading !== null) yield recordOf(heading, row, problems) + rest;
    else {
      heading = checkedHeading(path, row.values);
      yield rest;
    }
  }
  const fix = 'put a text with a comma or a line break into "quotes"';
  if (problems.length > 0) throw lineErrors(path, problems, fix);
}

function recordOf(heading: readonly string[], { line, values }: Row, problems: LineProblem[]): string {
  if (values.length === heading.length)
    return JSON.stringify(Object.fromEntries(heading.map((name, i) => [name, values[i]])));
  problems.push({ line, message: `${values.length} values for ${heading.length} columns` });
  return '';
}

function checkedHeading(path: string, names: readonly string[]): readonly string[] {
  const twice = names.find((name, i) => name === '' || names.indexOf(name) !== i);
  if (twice === undefined) return names;
  const what = twice === '' ? 'a column without a name' : `two columns named ${JSON.stringify(twice)}`;
  throw new DataError(`${path} has ${what} in its first line, which names the columns`);
}

/** `line` is that of its first character, from 1, `lines` how many it takes. */
type Row = { readonly line: number; readonly lines: number; readonly values: readonly string[] };

/** What stands between separators, until it is whole. */
type State = {
  text: string;
  values: string[];
  place: 'start' | 'plain' | 'quoted' | 'quote';
  breaks: number;
};

const newState = (): State => ({ text: '', values: [], place: 'start', breaks: 0 });

async function* rowsOf(path: string): AsyncGenerator<Row> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let state = newState();
  let line = 1;
  const read = function* (text: string): Generator<Row> {
    for (const char of text.replaceAll('\r\n', '\n')) {
      if (char === '\n' && state.place !== 'quoted') {
        yield { line, lines: state.breaks + 1, values: [...state.values, state.text] };
        line += state.breaks + 1;
        state = newState();
      } else step(state, char);
    }
  };
  let carried = ''; // a carriage return whose line feed is in the next piece
  for await (const piece of createReadStream(path) as AsyncIterable<Buffer>) {
    const text = carried + decoder.decode(piece, { stream: true });
    carried = text.endsWith('\r') ? '\r' : '';
    yield* read(carried === '' ? text : text.slice(0, -1));
  }
  yield* read(carried + decoder.decode());
  if (state.place === 'quoted')
    throw new DataError(`${path}: the text in quotes that begins in line ${line} has no end`);
  if (state.text !== '' || state.values.length > 0) yield* read('\n');
}

/** One character; a quote opens a text only where it begins, and is doubled inside. */
function step(state: State, char: string): void {
  if (state.place === 'quoted' && char === '"') state.place = 'quote';
  else if (state.place === 'quoted') addTo(state, char);
  else if (char === ',') {
    state.values.push(state.text);
    [state.text, state.place] = ['', 'start'];
  } else if (char === '"' && state.place !== 'plain') {
    if (state.place === 'quote') state.text += '"';
    state.place = 'quoted';
  } else {
    addTo(state, char);
    state.place = 'plain';
  }
}

function addTo(state: State, char: string): void {
  state.text += char;
  if (char === '\n') state.breaks++;
}
