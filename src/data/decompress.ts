/** Formats that one cannot jump about in, as streams of JSON lines. */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { parquetLines } from './parquet.ts';

export type Format = 'jsonl' | 'jsonl.gz' | 'jsonl.zst' | 'parquet';

/** The format of a file by the end of its name, or null. */
export function formatOf(path: string): Format | null {
  return (
    (['jsonl', 'jsonl.gz', 'jsonl.zst', 'parquet'] as const).find(format =>
      path.toLowerCase().endsWith(`.${format}`),
    ) ?? null
  );
}

/** The JSON lines of a compressed file, in pieces of any size. */
export function jsonLinesOf(
  path: string,
  format: Exclude<Format, 'jsonl'>,
): AsyncIterable<Uint8Array | string> {
  if (format === 'parquet') return parquetLines(path);
  return format === 'jsonl.gz' ? gunzip(path) : unzstd(path);
}

/** A failure to read ends the stream with it. */
function gunzip(path: string): AsyncIterable<Uint8Array> {
  return pipeline(createReadStream(path), createGunzip(), () => undefined);
}

async function* unzstd(path: string): AsyncGenerator<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let isComplete = false;
  const stream = new Decompress((piece, isLast) => {
    if (piece.length > 0) pieces.push(piece);
    isComplete = isLast === true;
  });
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    stream.push(chunk);
    yield* pieces.splice(0);
  }
  stream.push(new Uint8Array(0), true);
  yield* pieces;
  if (!isComplete) throw new Error('unexpected end of file');
}
