/** Kinds of data files, told apart by the ends of their names. */

/** `json` holds a list of records, `csv` a heading and a record a row. */
export type Format = (typeof formats)[number];

const formats = ['jsonl', 'jsonl.gz', 'jsonl.zst', 'json', 'csv', 'parquet'] as const;

/** The same as a person reads it. */
export const formatNames = formats.map(format => `.${format}`).join(', ');

/** The format of a file by the end of its name, or null. */
export function formatOf(path: string): Format | null {
  return formats.find(format => path.toLowerCase().endsWith(`.${format}`)) ?? null;
}

/** Whether a name is none of a file: a directory of data files, or a data set of the hub. */
export function isDataset(path: string): boolean {
  return formatOf(path) === null;
}
