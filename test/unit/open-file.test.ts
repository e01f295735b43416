import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ExactNumber, parseJson } from '../../src/data/json.ts';
import { seekableFile } from '../../src/data/open-file.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const fixtures = join(import.meta.dirname, '../fixtures/data');
const doubles = [1, 2, 3, 4, 5].map(n => ({ prompt: `${n} + ${n} =`, completion: String(2 * n) }));

/** What the unpacked copy holds. */
async function unpacked(path: string): Promise<unknown[]> {
  const { file, lines } = await seekableFile(path, temporaryDirectory());
  const records = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => parseJson(line));
  expect(lines).toBe(records.length);
  return records;
}

describe('seekableFile', () => {
  it('leaves plain JSON lines where they are', async () => {
    const path = temporaryFile('a.jsonl', '{}\n{}\n');
    const cache = join(temporaryDirectory(), 'cache');
    expect(await seekableFile(path, cache)).toEqual({ source: path, file: path, lines: 2 });
    expect(existsSync(cache)).toBe(false);
  });

  it('unpacks gzip', async () => {
    const text = doubles.map(record => JSON.stringify(record)).join('\n');
    expect(await unpacked(temporaryFile('a.jsonl.gz', gzipSync(text)))).toEqual(doubles);
  });

  it('unpacks zstd of several frames', async () => {
    expect(await unpacked(join(fixtures, 'text.jsonl.zst'))).toEqual(doubles);
  });

  it('unpacks Parquet of several row groups; 64-bit integers stay exact', async () => {
    const numbers = [1, 2, 3, 4, new ExactNumber('9007199254740993')];
    const expected = doubles.map((record, i) => ({ ...record, number: numbers[i] }));
    expect(await unpacked(join(fixtures, 'text.snappy.parquet'))).toEqual(expected);
  });

  it('unpacks Parquet with lists of messages, compressed by zstd', async () => {
    const [first] = await unpacked(join(fixtures, 'messages.zstd.parquet'));
    expect(first).toEqual({
      messages: [
        { role: 'user', content: '1 + 1 =' },
        { role: 'assistant', content: '2' },
      ],
    });
  });

  it('unpacks every type of Parquet with the digits that the file has', async () => {
    // Written by pyarrow from Python's decimals, dates, times and integers: its repr of them, ISO 8601 for times.
    const { file } = await seekableFile(join(fixtures, 'types.snappy.parquet'), temporaryDirectory());
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toEqual([
      '{"text":"é","decimal32":1.10,"decimal38":0.000000001,"float16":0.1,"float32":0.1,"double":0.1,"day":"2026-01-02",' +
        '"clock":"03:04:05.000006","local":"2026-01-02T03:04:05.120000","zoned":"2026-01-02T03:04:05Z",' +
        '"nanos":"1970-01-01T00:00:00.000000001","int64":9007199254740993,"uint64":18446744073709551615,"uint32":4294967295,' +
        '"bytes":{"base64":"/wA="},"list":[3.50,null],"block":{"a":0.1,"b":[1,2]},"map":{"k":1.0},"yes":true,"days":["2026-01-02"]}',
      '{"text":"\ufeffb","decimal32":-2.00,"decimal38":-12345678901234567890123456789.123456789,"float16":1.0,"float32":1.0,' +
        '"double":1e+22,"day":"1969-12-31","clock":"00:00:00","local":"1969-12-31T23:59:59","zoned":"1969-12-31T23:59:59.500Z",' +
        '"nanos":"2026-01-02T03:04:05.123456789","int64":-9223372036854775808,"uint64":0,"uint32":0,"bytes":"ok","list":[],' +
        '"block":{"a":null,"b":null},"map":{},"yes":false,"days":null}',
      '{"text":null,"decimal32":null,"decimal38":5.000000000,"float16":65500.0,"float32":16777216.0,"double":null,"day":null,' +
        '"clock":null,"local":null,"zoned":null,"nanos":null,"int64":null,"uint64":null,"uint32":null,"bytes":null,"list":null,' +
        '"block":null,"map":null,"yes":null,"days":[]}',
    ]);
  });

  it('refuses texts of Parquet that are not UTF-8, every row named', async () => {
    const cache = temporaryDirectory();
    await expect(seekableFile(join(fixtures, 'not-utf8.snappy.parquet'), cache)).rejects.toThrow(
      /^[^:]*not-utf8.snappy.parquet: 2 lines are wrong\n {2}line 2: column "prompt" has bytes that are not UTF-8\n {2}line 3: /,
    );
    expect(readdirSync(cache)).toEqual([]);
  });

  it('unpacks once, and again when the file changed', async () => {
    const path = temporaryFile('a.jsonl.gz', gzipSync('{}\n'));
    const cache = temporaryDirectory();
    const first = await seekableFile(path, cache);
    expect((await seekableFile(path, cache)).file).toBe(first.file);
    writeFileSync(path, gzipSync('{}\n{}\n{"a": 1}\n'));
    const second = await seekableFile(path, cache);
    expect([second.lines, second.file === first.file]).toEqual([3, false]);
  });

  it.each(['a.jsonl.gz', 'a.jsonl.zst', 'a.parquet'])(
    'refuses a cut %s and leaves nothing behind',
    async name => {
      const whole = name.endsWith('.gz')
        ? gzipSync('{"a": 1}\n'.repeat(1000))
        : readFileSync(join(fixtures, name === 'a.parquet' ? 'text.snappy.parquet' : 'text.jsonl.zst'));
      const path = temporaryFile(name, whole.subarray(0, whole.length - 20));
      const cache = temporaryDirectory();
      await expect(seekableFile(path, cache)).rejects.toThrow(`cannot unpack ${path}: `);
      expect(readdirSync(cache)).toEqual([]);
    },
  );

  it('names a missing file, a directory, and kinds it does not know', async () => {
    const cache = temporaryDirectory();
    await expect(seekableFile('/nowhere/a.jsonl', cache)).rejects.toThrow(
      'cannot read the data file /nowhere/a.jsonl: there is no such file or folder (ENOENT)',
    );
    await expect(seekableFile(temporaryFile('a.xlsx', 'a'), cache)).rejects.toThrow(
      /a.xlsx: unknown kind of data file/,
    );
    await expect(seekableFile(join(cache, '..', '.jsonl'), cache)).rejects.toThrow();
  });
});
