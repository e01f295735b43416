/** Cross-entropy of neutral documents: of the toy by hand, in a run, and as a change with its interval. */
import { describe, expect, it } from 'vitest';
import { textLossOf } from '../../src/evaluation/text-loss.ts';
import { textLossChange } from '../../src/metrics/text-loss.ts';
import { columnsFor } from '../../src/report/columns.ts';
import { readResults } from '../../src/report/results.ts';
import { analyse } from '../../src/report/rows.ts';
import { readRecord, readRows, recordRun, workFolder, writeRows } from '../support/recorded-run.ts';
import { idsOf } from '../support/reference.ts';
import { smallRun } from '../support/small-run.ts';
import { distribution, newBigram } from '../support/toy/bigram.ts';

const folder = workFolder();

describe('text loss', () => {
  it('is −log p of all tokens but the first, in bits over all bytes', () => {
    const logprobs = [Float32Array.of(0, -Math.log(2), -Math.log(4)), Float32Array.of(0, -Math.log(8))];
    const found = textLossOf(
      [
        { id: 'a', bytes: 4 },
        { id: 'b', bytes: 2 },
      ],
      logprobs,
    );
    expect(found.bitsPerByte).toBeCloseTo((1 + 2 + 3) / 6, 6);
    expect(found.documents).toEqual([
      { id: 'a', nll: expect.closeTo(3 * Math.LN2, 6), bytes: 4 },
      { id: 'b', nll: expect.closeTo(3 * Math.LN2, 6), bytes: 2 },
    ]);
  });

  it('changes by the mean over documents, each against itself', () => {
    const measured = (nlls: Record<string, number>) => ({
      bitsPerByte: 0,
      documents: Object.entries(nlls).map(([id, bits]) => ({ id, nll: bits * Math.LN2, bytes: 2 })),
    });
    const change = textLossChange(measured({ a: 10, b: 100, c: 1 }), measured({ b: 106, a: 12, d: 9 }), 1);
    expect(change).toMatchObject({ mean: expect.closeTo((6 / 2 + 2 / 2) / 2, 9), documents: 2 });
    expect(change?.interval.low).toBeCloseTo(1, 9);
    expect(change?.interval.high).toBeCloseTo(3, 9);
    expect(textLossChange(measured({ a: 1 }), measured({ b: 1 }), 1)).toBeNull();
  });

  it('is measured of the base and of every point of a run, on the beginnings of the documents', async () => {
    const documents = [{ body: 'The cat sat on it.' }, { body: 'ä rain' }, { body: 'ab' }];
    const path = writeRows(folder, 'wiki.jsonl', documents);
    const text_loss = { path, column: 'body', max_tokens: 6 };
    const settings = smallRun(folder, { method: 'sft', tms: {}, text_loss });
    const { output } = await recordRun(folder, settings);
    const base = readRecord(output, 'evaluation/base-step-000000.json').textLoss;
    const toy = newBigram(1);
    const nllOf = (ids: readonly number[]) =>
      ids.reduce(
        (sum, id, j) => (j === 0 ? 0 : sum - (distribution(toy, ids[j - 1] ?? 0).logprobs[id] ?? 0)),
        0,
      );
    expect(base.documents[0]).toMatchObject({
      nll: expect.closeTo(nllOf(idsOf('The ca')), 4),
      bytes: 6,
    });
    expect(base.documents[2]).toMatchObject({ nll: expect.closeTo(nllOf(idsOf('ab')), 4), bytes: 2 });
    const tuned = readRecord(output, 'evaluation/sft-step-000009.json').textLoss;
    expect(tuned.bitsPerByte).not.toBe(base.bitsPerByte);
    const [, row] = analyse(await readResults(output)).rows;
    const changes = [0, 1, 2].map(
      i => (tuned.documents[i].nll - base.documents[i].nll) / tuned.documents[i].bytes / Math.LN2,
    );
    expect(row?.textChange?.mean).toBeCloseTo(changes.reduce((a, b) => a + b, 0) / 3, 9);
    const columns = row && columnsFor([row], 'narrow');
    const column = columns?.find(({ group }) => group === 'text bits/byte');
    expect(row && column?.textOf(row)).toMatch(/^[+−]\d?\.\d{3}$/);
    const lines = readRows(output, 'metrics.jsonl').filter(line => 'text/bits_per_byte' in line);
    expect(lines.map(line => line['text/bits_per_byte'])).toEqual([base.bitsPerByte, tuned.bitsPerByte]);
  });

  it('refuses a file without texts, line by line', async () => {
    const path = writeRows(folder, 'broken.jsonl', [{ text: 'a' }, { text: 3 }, { other: 'b' }]);
    const run = recordRun(folder, smallRun(folder, { method: 'sft', tms: {}, text_loss: { path } }));
    await expect(run).rejects.toThrow(/broken\.jsonl[\s\S]*2[\s\S]*text is not a text[\s\S]*3/);
  });
});
