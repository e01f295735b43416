/** A Parquet file as JSON lines: one a row, every value with the digits that the file has. */
import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaElement,
  type SchemaTree,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { type LineProblem, lineErrors } from './data-error.ts';
import { decodeUtf8, jsonOfColumn, ParquetValueError, type ToJson } from './parquet-values.ts';

/** One row group is in memory at a time. Throws `DataError` with every row that has no JSON. */
export async function* parquetLines(path: string): AsyncGenerator<string> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file, { geoparquet: false });
  const columns = parquetSchema(metadata).children.map(node => columnOf(node));
  const options = { file, metadata: bare(metadata), compressors, parsers, utf8: false, geoparquet: false };
  const problems: LineProblem[] = [];
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const rows = await parquetReadObjects({ ...options, rowStart, rowEnd });
    for (const [i, row] of rows.entries()) {
      const line = tryLine(columns, row, message => problems.push({ line: rowStart + i + 1, message }));
      if (problems.length === 0) yield line;
    }
    rowStart = rowEnd;
  }
  if (problems.length > 0) throw lineErrors(path, problems);
}

type Column = { readonly name: string; readonly toJson: ToJson };

function tryLine(columns: readonly Column[], row: object, refuse: (message: string) => void): string {
  const entries = columns.flatMap(({ name, toJson }) => {
    try {
      return [`${JSON.stringify(name)}:${toJson((row as Record<string, unknown>)[name])}`];
    } catch (error) {
      if (!(error instanceof ParquetValueError)) throw error;
      refuse(`column "${name}" has ${error.message}`);
      return [];
    }
  });
  return `{${entries.join(',')}}\n`;
}

function columnOf(node: SchemaTree): Column {
  return { name: node.element.name, toJson: jsonOfNode(node) };
}

/** A list of anything, a map, a block, or a value. */
function jsonOfNode(node: SchemaTree): ToJson {
  const { element, children } = node;
  if (element.logical_type?.type === 'VARIANT')
    return refuseAny('a VARIANT, which is not understood: write it as text or JSON');
  const [only] = children;
  if (only !== undefined && element.converted_type === 'LIST' && children.length === 1)
    return jsonOfList(jsonOfNode(only.children.length === 1 ? (only.children[0] as SchemaTree) : only));
  const [key, value] = only?.children ?? [];
  if (element.converted_type === 'MAP' && key !== undefined && value !== undefined)
    return isText(key.element)
      ? jsonOfMap(jsonOfNode(value))
      : refuseAny('a map whose keys are no texts, which JSON cannot hold');
  const one = children.length > 0 ? jsonOfBlock(children.map(columnOf)) : orNull(jsonOfColumn(element));
  return element.repetition_type === 'REPEATED' ? jsonOfList(one) : one;
}

function refuseAny(message: string): ToJson {
  return () => {
    throw new ParquetValueError(message);
  };
}

function orNull(toJson: ToJson): ToJson {
  return value => (value === null || value === undefined ? 'null' : toJson(value));
}

/** Inside a list annotated as one, its repeated item comes as a list already. */
function jsonOfList(item: ToJson): ToJson {
  return orNull(values => (Array.isArray(values) ? `[${values.map(item).join(',')}]` : item(values)));
}

function jsonOfMap(value: ToJson): ToJson {
  return orNull(map => {
    const entries = Object.entries(map as object).map(
      ([key, entry]) => `${JSON.stringify(key)}:${value(entry)}`,
    );
    return `{${entries.join(',')}}`;
  });
}

function jsonOfBlock(columns: readonly Column[]): ToJson {
  return orNull(block => {
    const fields = block as Record<string, unknown>;
    const entries = columns.map(({ name, toJson }) => `${JSON.stringify(name)}:${toJson(fields[name])}`);
    return `{${entries.join(',')}}`;
  });
}

/** Read as stored: the library would make decimals and times doubles. Texts stay texts, they may be the keys of a map. */
function bare(metadata: FileMetaData): FileMetaData {
  return { ...metadata, schema: metadata.schema.map(bareElement) };
}

function bareElement(element: SchemaElement): SchemaElement {
  if (element.type === undefined || isText(element)) return element;
  const { converted_type, logical_type, ...stored } = element;
  return stored;
}

function isText({ converted_type, logical_type }: SchemaElement): boolean {
  return converted_type === 'UTF8' || logical_type?.type === 'STRING';
}

const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && (decodeUtf8(bytes) ?? bytes),
  timestampFromNanoseconds: (nanoseconds: bigint) => nanoseconds,
};
