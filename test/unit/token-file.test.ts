import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeToFile } from '../../src/data/encode-file.ts';
import { indexExamples } from '../../src/data/example-index.ts';
import { seekableFile } from '../../src/data/open-file.ts';
import { TokenFile, TokenFileWriter } from '../../src/data/token-file.ts';
import { tokensKey, warningText } from '../../src/data/token-notes.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

/** Of the ids behind the prompt, all are learned. */
const row = (ids: number[], promptLength: number) => ({
  ids: Int32Array.from(ids),
  promptLength,
  learned: Uint8Array.from(ids, (_, i) => Number(i >= promptLength)),
});

describe('token file', () => {
  it('gives back every row, in any order, and parts of it', async () => {
    const path = join(temporaryDirectory(), 'tokens.bin');
    const writer = await TokenFileWriter.create(path, 3);
    const marked = { ...row([1, 2, 70_000], 2), learned: Uint8Array.of(0, 1, 1) };
    await writer.append([marked]);
    await writer.append([row([], 0), row([5, 6], 1)]);
    await writer.finish();
    const file = await TokenFile.open(path);
    expect(await file.read(2)).toEqual(row([5, 6], 1));
    expect(await file.read(0)).toEqual(marked);
    expect(await file.read(0, 2)).toEqual({ ...row([1, 2], 2), learned: Uint8Array.of(0, 1) });
    expect(await file.read(1)).toEqual(row([], 0));
    expect(await file.read(0, 1)).toEqual(row([1], 1));
    expect([file.count, [...file.lengths], [...file.promptLengths]]).toEqual([3, [3, 0, 2], [2, 0, 1]]);
    expect([...file.learnedLengths]).toEqual([2, 0, 1]);
    await file.close();
  });

  it('has the layout that its first lines describe', async () => {
    const path = join(temporaryDirectory(), 'tokens.bin');
    const writer = await TokenFileWriter.create(path, 1);
    await writer.append([{ ...row([258, 3], 1), learned: Uint8Array.of(0, 1) }]);
    await writer.finish({ warnings: [], stopIds: [300], readsDate: true });
    const content =
      '746d7331' +
      '04000000' +
      '01000000' +
      '30000000' +
      '0000000000000040' +
      '02000000' +
      '01000000' +
      '01000000' +
      '0201000003000000' +
      '0001' +
      Buffer.from('{"warnings":[],"stopIds":[300],"readsDate":true}').toString('hex');
    const digest = createHash('sha256').update(Buffer.from(content, 'hex')).digest('hex');
    expect(readFileSync(path).toString('hex')).toBe(content + digest);
  });

  it('is not there before it is whole, and leaves nothing when given up', async () => {
    const directory = temporaryDirectory();
    const writer = await TokenFileWriter.create(join(directory, 'tokens.bin'), 2);
    await writer.append([row([1], 0)]);
    expect(readdirSync(directory)).not.toContain('tokens.bin');
    await expect(writer.finish()).rejects.toThrow('1 of 2 rows were written');
    await writer.abort();
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([0, 10, 30, 60])('refuses a file cut to %i bytes', async bytes => {
    const path = join(temporaryDirectory(), 'tokens.bin');
    const writer = await TokenFileWriter.create(path, 1);
    await writer.append([row([1, 2], 1)]);
    await writer.finish();
    writeFileSync(path, readFileSync(path).subarray(0, bytes));
    await expect(TokenFile.open(path)).rejects.toThrow('is not a whole token file');
  });
});

describe('warningText', () => {
  it('has the count and the place of the first', () => {
    const warning = { code: 'c', message: 'm' };
    expect(warningText({ ...warning, count: 1 }, 'line 3')).toBe('c: m (1 example, in line 3)');
    expect(warningText({ ...warning, count: 2 }, 'line 3')).toBe('c: m (2 examples, first in line 3)');
  });
});

describe('tokensKey', () => {
  const parts = {
    dataDigest: 'd',
    tokenizer: 't',
    chatTemplate: null,
    templateOptions: { a: true, b: 'x' },
    eosTokenIds: [2],
    splitSpecialTokens: true,
    date: null,
  };

  it('depends on everything that ids depend on, and not on the order of options', () => {
    const reordered = { ...parts, templateOptions: { b: 'x', a: true } };
    expect(tokensKey(reordered)).toBe(tokensKey(parts));
    const others = [
      { dataDigest: 'e' },
      { tokenizer: 'u' },
      { chatTemplate: 'c' },
      { templateOptions: {} },
      { eosTokenIds: [2, 3] },
      { splitSpecialTokens: false },
      { date: '2026-11-26' },
      { date: '2026-11-27' },
    ];
    const all: Parameters<typeof tokensKey>[0][] = [parts, ...others.map(other => ({ ...parts, ...other }))];
    expect(new Set(all.map(tokensKey)).size).toBe(9);
  });
});

describe('encodeToFile', () => {
  it('encodes all examples in order, some at a time, and keeps what was said about them with its place', async () => {
    const count = 600;
    const text = Array.from({ length: count }, (_, i) => `{"prompt": "${i}", "completion": "x"}`).join('\n');
    const options = {
      columns: { prompt: null, completion: null, messages: null },
      as_chat: false,
      system_prompt: null,
      duplicates: 'keep',
    } as const;
    const index = await indexExamples(await seekableFile(temporaryFile('a.jsonl', text), 'unused'), options);
    const path = join(temporaryDirectory(), 'tokens.bin');
    const sizes: number[] = [];
    await encodeToFile(
      index,
      options,
      async examples => {
        sizes.push(examples.length);
        const places = examples.flatMap(({ prompt }, i) =>
          ['300', '310', '599'].includes(`${prompt}`) ? [i] : [],
        );
        const [firstIndex] = places;
        return {
          sequences: examples.map(({ prompt }) => row([Number(prompt), 0], 1)),
          warnings:
            firstIndex === undefined ? [] : [{ code: 'odd', message: 'm', count: places.length, firstIndex }],
          stopIds: [9, sizes.length],
          readsDate: sizes.length === 2,
        };
      },
      path,
    );
    expect(sizes).toEqual([256, 256, 88]);
    const file = await TokenFile.open(path);
    expect((await file.read(599)).ids[0]).toBe(599);
    expect(file.notes).toEqual({
      warnings: [{ code: 'odd', message: 'm', count: 3, firstRow: 300 }],
      stopIds: [1, 2, 3, 9],
      readsDate: true,
    });
    await file.close();
  });
});
