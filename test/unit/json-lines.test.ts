import { describe, expect, it } from 'vitest';
import { countLines, readLines, readTextLines } from '../../src/data/json-lines.ts';
import { temporaryFile } from '../support/temporary-directory.ts';

async function linesOf(file: string) {
  const lines: [number, number, string][] = [];
  for await (const some of readLines(file)) {
    for (const { number, offset, bytes } of some) lines.push([number, offset, bytes.toString()]);
  }
  return lines;
}

describe('readLines', () => {
  it('gives number, place in bytes and content, with and without a newline at the end', async () => {
    const expected = [
      [1, 0, 'é'],
      [2, 3, ''],
      [3, 4, 'b'],
    ];
    expect(await linesOf(temporaryFile('a', 'é\n\nb'))).toEqual(expected);
    expect(await linesOf(temporaryFile('a', 'é\n\nb\n'))).toEqual(expected);
    expect(await linesOf(temporaryFile('a', ''))).toEqual([]);
  });

  it('joins lines that span the pieces a file is read in', async () => {
    const long = ['x'.repeat(300_000), 'y'.repeat(700_000), 'z'];
    const found = await linesOf(temporaryFile('a', long.join('\n')));
    expect(found.map(([, , text]) => text)).toEqual(long);
    expect(found.map(([, offset]) => offset)).toEqual([0, 300_001, 1_000_002]);
  });
});

describe('readTextLines', () => {
  it('ends a line at a newline alone', async () => {
    const lines = ['{"text":"a\u2028b\u2029c\u0085d\re"}', '', 'é'];
    const found: string[] = [];
    for await (const line of readTextLines(temporaryFile('a', `${lines.join('\n')}\n`))) found.push(line);
    expect(found).toEqual(lines);
  });
});

describe('countLines', () => {
  it.each([
    ['', 0],
    ['a', 1],
    ['a\n', 1],
    ['a\n\nb', 3],
    ['\n', 1],
  ])('counts %j as %i', async (text, lines) => {
    const file = temporaryFile('a', text);
    expect(await countLines(file)).toBe(lines);
    expect(await linesOf(file)).toHaveLength(lines);
  });
});
