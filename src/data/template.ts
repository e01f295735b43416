/** Columns of a record, and texts made from them: "Question: {question}\nAnswer:". */
import { writtenText } from './json.ts';

/** One line of a data file. */
export type DataRecord = Readonly<Record<string, unknown>>;

/** A column cannot be read; the caller adds file and line. */
export class ColumnError extends Error {}

const placeholder = /\{\{|\}\}|\{([^{}]+)\}/g;

/** Is this a template, not the name of a column? */
export function isTemplate(text: string): boolean {
  return text.includes('{');
}

/** The value of a column, or the text of a template. Throws `ColumnError` when a column is missing. */
export function readColumn(record: DataRecord, columnOrTemplate: string): unknown {
  return isTemplate(columnOrTemplate)
    ? fillTemplate(record, columnOrTemplate)
    : columnOf(record, columnOrTemplate);
}

/**
 * Put columns into the places of a template, every value as the file writes it; `{{` and `}}` are braces. A column that is null has no
 * text and throws `ColumnError`, but at `{name?}`, where it leaves nothing.
 */
export function fillTemplate(record: DataRecord, template: string): string {
  return template.replace(placeholder, (match, name: string | undefined) => {
    if (name === undefined) return match === '{{' ? '{' : '}';
    const { column, mayBeNull } = placeOf(record, name);
    const text = writtenText(columnOf(record, column));
    if (text !== null || mayBeNull) return text ?? '';
    throw new ColumnError(`column "${column}" is null, which has no text; {${column}?} puts nothing there`);
  });
}

/** The columns that are null and leave nothing in this template. */
export function emptyPlaces(record: DataRecord, template: string): string[] {
  return [...template.matchAll(placeholder)].flatMap(([, name]) => {
    if (name === undefined) return [];
    const { column, mayBeNull } = placeOf(record, name);
    return mayBeNull && writtenText(columnOf(record, column)) === null ? [column] : [];
  });
}

/** `{name?}` may be null, unless a column has just that name. */
function placeOf(record: DataRecord, name: string): { column: string; mayBeNull: boolean } {
  const mayBeNull = name.endsWith('?') && !Object.hasOwn(record, name);
  return { column: mayBeNull ? name.slice(0, -1) : name, mayBeNull };
}

/** A column by its name; `choices.text` looks inside one where no column has that name itself. */
function columnOf(record: DataRecord, name: string): unknown {
  if (Object.hasOwn(record, name)) return record[name];
  let value: unknown = record;
  for (const part of name.split('.')) {
    const isRecord = typeof value === 'object' && value !== null && Object.hasOwn(value, part);
    if (!isRecord)
      throw new ColumnError(`no column "${name}"; there are: ${Object.keys(record).join(', ') || 'none'}`);
    value = (value as DataRecord)[part];
  }
  return value;
}
