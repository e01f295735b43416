/** Columns of a record, and texts made from them: "Question: {question}\nAnswer:". */

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

/** Put columns into the places of a template; `{{` and `}}` are braces. */
export function fillTemplate(record: DataRecord, template: string): string {
  return template.replace(placeholder, (match, name: string | undefined) => {
    if (name === undefined) return match === '{{' ? '{' : '}';
    const value = columnOf(record, name);
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
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
