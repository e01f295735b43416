import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { seekableFile } from '../../src/data/seekable.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const fixtures = join(import.meta.dirname, '../fixtures/data');
const doubles = [1, 2, 3, 4, 5].map(n => ({ prompt: `${n} + ${n} =`, completion: String(2 * n) }));

/** What the unpacked copy holds. */
async function unpacked(path: string): Promise<unknown[]> {
  const { file, lines } = await seekableFile(path, temporaryDirectory());
  const records = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as unknown);
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
    const numbers = [1, 2, 3, 4, '9007199254740993'];
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
      'cannot read the data file /nowhere/a.jsonl: ENOENT',
    );
    await expect(seekableFile(temporaryFile('a.csv', 'a'), cache)).rejects.toThrow(
      /a.csv: unknown kind of data file/,
    );
    await expect(seekableFile(join(cache, '..', '.jsonl'), cache)).rejects.toThrow();
  });
});
