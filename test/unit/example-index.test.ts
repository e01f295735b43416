import { createHash } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exampleDigest, promptKey } from '../../src/data/example.ts';
import {
  type IndexOptions,
  idText,
  idWords,
  indexExamples,
  lineOfRow,
} from '../../src/data/example-index.ts';
import { ExampleReader } from '../../src/data/example-reader.ts';
import { seekableFile } from '../../src/data/open-file.ts';
import { temporaryFile } from '../support/temporary-directory.ts';

const options: IndexOptions = {
  columns: { prompt: null, completion: null, messages: null },
  as_chat: false,
  system_prompt: null,
  duplicates: 'keep',
};
const line = (prompt: unknown, completion?: unknown) => `${JSON.stringify({ prompt, completion })}\n`;

async function indexOf(content: string | Uint8Array, more: Partial<IndexOptions> = {}) {
  const path = temporaryFile('data.jsonl', content);
  return indexExamples(await seekableFile(path, 'unused'), { ...options, ...more });
}

describe('exampleDigest', () => {
  it('is SHA-256 of canonical JSON: content counts, the order of keys does not', () => {
    const expected = createHash('sha256').update('["a","b"]').digest('hex');
    expect(exampleDigest({ prompt: 'a', completion: 'b' }).toString('hex')).toBe(expected);
    const digests = [[{ role: 'user', content: 'x' }], [{ content: 'x', role: 'user' }]].map(prompt =>
      exampleDigest({ prompt, completion: null }).toString('hex'),
    );
    expect(digests[0]).toBe(digests[1]);
  });

  it('tells text from messages and a missing completion from an empty one', () => {
    const examples = [
      { prompt: 'x', completion: null },
      { prompt: 'x', completion: '' },
      { prompt: [{ role: 'user', content: 'x' }], completion: null },
    ];
    expect(new Set(examples.map(example => exampleDigest(example).toString('hex'))).size).toBe(3);
    expect(promptKey({ prompt: 'x', completion: 'a' })).toBe(promptKey({ prompt: 'x', completion: 'b' }));
  });
});

describe('indexExamples', () => {
  it('keeps place, length and id of each example, and counts the rest', async () => {
    // 3 bytes of mark + 31, newline, blank line, a dropped line of 32 and newline: 34 + 1 + 1 + 33 = 69
    const text = `\uFEFF${line('a', 'b')}\n${line('é', ' ')}${line('é', 'd')}${line('a', 'b')}`;
    const index = await indexOf(text);
    expect(index.shape).toBe('prompt and completion as text');
    expect([...index.offsets]).toEqual([0, 69, 102, 133]);
    expect(idText(index, 0)).toBe(
      exampleDigest({ prompt: 'a', completion: 'b' }).toString('hex').slice(0, 16),
    );
    expect(idWords(index, 2)).toEqual(idWords(index, 0));
    expect(index.counts).toEqual({
      lines: 5,
      blankLines: 1,
      emptyCompletions: 1,
      duplicates: 1,
      nulls: {},
      answers: 3,
      learnedAnswers: 3,
    });
  });

  it('knows the line of each example, blank and dropped ones counted', async () => {
    const index = await indexOf(`\n${line('a', 'b')}${line('é', ' ')}\n${line('c', 'd')}${line('e', 'f')}`);
    expect(await Promise.all([0, 1, 2].map(row => lineOfRow(index, row)))).toEqual([2, 5, 6]);
  });

  it('drops repeated examples when asked', async () => {
    const index = await indexOf(line('a', 'b') + line('a', 'b') + line('a', 'c'), { duplicates: 'drop' });
    expect([index.count, index.counts.duplicates]).toEqual([2, 1]);
  });

  it('has a digest of content and order, whatever the layout of the file', async () => {
    const [a, b] = [line('a', 'b'), line('c', 'd')];
    const spaced = '{ "completion": "b", "prompt": "a" }\r\n\n{"prompt":"c","completion":"d"}';
    expect((await indexOf(a + b)).digest).toBe((await indexOf(spaced)).digest);
    expect((await indexOf(a + b)).digest).not.toBe((await indexOf(b + a)).digest);
  });

  it('reads one example', async () => {
    expect((await indexOf(line('a', 'b'))).count).toBe(1);
  });

  it('names every broken line', async () => {
    const text = `${line('a', 'b')}{"prompt": "a"\n[1]\n${line('a', 'b')}nonsense\n`;
    await expect(indexOf(text)).rejects.toThrow(
      /data.jsonl: 3 lines are wrong\n {2}line 2: broken JSON: .*\n {2}line 3: not a JSON object\n {2}line 5: broken JSON: /,
    );
  });

  it('lists ten broken lines and counts the others', async () => {
    await expect(indexOf('{\n'.repeat(25))).rejects.toThrow(/25 lines are wrong\n(.*\n){10} {2}and 15 more$/);
  });

  it('refuses bytes that are not UTF-8', async () => {
    await expect(indexOf(Buffer.from([0x22, 0xff, 0x22, 0x0a]))).rejects.toThrow('line 1: not UTF-8');
  });

  it('refuses nulls in a template line by line, and counts those that it may leave out', async () => {
    const rows = ['a', null, null].map(input => JSON.stringify({ input, output: 'x' })).join('\n');
    const columns = (prompt: string) => ({ columns: { prompt, completion: 'output', messages: null } });
    await expect(indexOf(rows, columns('I: {input}'))).rejects.toThrow(
      /2 lines are wrong\n {2}line 2: column "input" is null.*\{input\?\}.*\n {2}line 3: column "input" is null/,
    );
    expect((await indexOf(rows, columns('I: {input?}'))).counts.nulls).toEqual({ input: 2 });
  });

  it('refuses half characters, double keys and numbers that JSON has not, by line', async () => {
    const rows = ['{"prompt":"a\\ud83d"}', '{"prompt":"a","prompt":"b"}', '{"prompt":"a","n":NaN}'].join(
      '\n',
    );
    await expect(indexOf(rows)).rejects.toThrow(
      /3 lines are wrong\n {2}line 1: a text has half a character.*\n {2}line 2: the key "prompt" stands twice\n {2}line 3: NaN is no JSON/,
    );
  });

  it('refuses mixed shapes and names both lines', async () => {
    const text = `\n${line('a', 'b')}${line('a')}${line([{ role: 'user', content: 'a' }], [{ role: 'assistant', content: 'b' }])}`;
    await expect(indexOf(text)).rejects.toThrow(
      'line 3: mixed shapes: prompt only, as text, but line 2 is prompt and completion as text\n' +
        '  line 4: mixed shapes: prompt and completion as messages, but line 2 is prompt and completion as text',
    );
  });

  it('refuses an empty file and one without any answer', async () => {
    await expect(indexOf('')).rejects.toThrow(/data.jsonl is empty/);
    await expect(indexOf('\n \n')).rejects.toThrow(/data.jsonl is empty/);
    await expect(indexOf(line('a', ''))).rejects.toThrow(/every completion is empty/);
  });
});

describe('ExampleReader', () => {
  it('gives numbers of a template the digits of the file', async () => {
    const mapped = {
      ...options,
      columns: { prompt: '{item} costs {price} ({sku})', completion: 'ok', messages: null },
    };
    const rows =
      '{"item":"tea","price":3.50,"sku":12345678901234567891,"ok":"y"}\n{"item":"milk","price":1.0,"sku":9007199254740993,"ok":"y"}';
    const index = await indexExamples(
      await seekableFile(temporaryFile('data.jsonl', rows), 'unused'),
      mapped,
    );
    const reader = await ExampleReader.open(index, mapped);
    expect((await reader.readRange(0, 2)).map(({ prompt }) => prompt)).toEqual([
      'tea costs 3.50 (12345678901234567891)',
      'milk costs 1.0 (9007199254740993)',
    ]);
    await reader.close();
  });

  it('reads any example again, mapped as it was indexed', async () => {
    const mapped = { ...options, columns: { prompt: '{q}?', completion: 'a', messages: null } };
    const path = temporaryFile(
      'data.jsonl',
      '{"q": "one", "a": "1"}\n\n{"q": "none", "a": ""}\n{"q": "zwölf", "a": "12"}',
    );
    const index = await indexExamples(await seekableFile(path, 'unused'), mapped);
    const reader = await ExampleReader.open(index, mapped);
    expect([await reader.read(1), await reader.read(0)]).toEqual([
      { prompt: 'zwölf?', completion: '12' },
      { prompt: 'one?', completion: '1' },
    ]);
    appendFileSync(path, '\n{"q": "more", "a": "3"}');
    expect((await reader.read(1)).completion).toBe('12');
    await reader.close();
  });

  it('notices that the file was changed in between', async () => {
    const path = temporaryFile('data.jsonl', line('a', 'b') + line('c', 'd'));
    const index = await indexExamples(await seekableFile(path, 'unused'), options);
    writeFileSync(path, line('a', 'b') + line('c', 'x'));
    const reader = await ExampleReader.open(index, options);
    expect((await reader.read(0)).completion).toBe('b');
    await expect(reader.read(1)).rejects.toThrow(/changed since it was read \(example 1\)/);
    await reader.close();
  });
});
