import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeParts, type MessageLimits, partsOf, protocolLimits } from '../../src/worker/parts.ts';
import { Worker } from '../../src/worker/worker.ts';
import { Recorder } from '../support/recorded-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

describe('partsOf', () => {
  it.each([
    [
      [3, 3, 3, 3],
      6,
      9,
      [
        [0, 2],
        [2, 4],
      ],
    ],
    [
      [3, 3, 3],
      5,
      9,
      [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    ],
    [
      [1, 9, 1],
      5,
      9,
      [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    ],
    [
      [1, 1, 1],
      9,
      2,
      [
        [0, 2],
        [2, 3],
      ],
    ],
    [
      [0, 0, 5, 5],
      5,
      9,
      [
        [0, 3],
        [3, 4],
      ],
    ],
    [[], 5, 9, [[0, 0]]],
  ] as const)('cuts %j at a size of %i and %i values', (sizes, size, count, expected) => {
    expect(partsOf(sizes, { size, count }).map(({ start, end }) => [start, end])).toEqual(expected);
  });
});

describe('a worker whose messages are small', () => {
  const texts = ['abc', 'defgh', 'ij', 'klmnopq', 'rs', 't'];
  const examples = texts.map(prompt => ({ prompt, completion: 'u' }));

  /** The same questions, and how many requests each took. */
  async function ask(most: MessageLimits) {
    const asked: string[] = [];
    const worker = new Worker(new Recorder(new ToyChannel(), verb => asked.push(verb)), most);
    onTestFinished(() => worker.close());
    await worker.load({ model: 'toy:3' });
    const { sequences, warnings } = await worker.encode(examples, { maxLength: 6 });
    const ids = sequences.map(row => row.ids);
    const progress: number[][] = [];
    const options = {
      maxNewTokens: 4,
      seeds: [9, 8, 7, 6, 5, 4],
      onProgress: (p: { done: number; total: number }) => void progress.push([p.done, p.total]),
    };
    const found = {
      sequences,
      warnings,
      texts: await worker.decode(ids),
      forward: await worker.forward(ids, { returnEntropy: true }),
      answers: await worker.generate(ids, options),
    };
    return { found, progress, requests: asked.filter(verb => verb !== 'load') };
  }

  it('says the same as one whose messages are large, in more requests', async () => {
    const large = await ask(protocolLimits);
    const small = await ask({ headerBytes: 4096 + 150, tensorBytes: 80 });
    expect(small.found).toEqual(large.found);
    expect(large.requests).toEqual(['encode', 'decode', 'forward', 'generate']);
    const count = (verb: string) => small.requests.filter(asked => asked === verb).length;
    expect(count('encode')).toBeGreaterThan(1);
    expect(count('forward')).toBeGreaterThan(1);
    expect(count('generate')).toBeGreaterThan(1);
    expect(small.progress.at(-1)).toEqual([6, 6]);
    expect(small.progress.map(([done = 0]) => done)).toEqual(
      small.progress.map(([done = 0]) => done).toSorted((a, b) => a - b),
    );
  });

  it('cuts decoding by the text that may come back, at 64 bytes an id', async () => {
    const worker = new Worker(new ToyChannel(), { headerBytes: 64 * 11, tensorBytes: 2 ** 20 });
    onTestFinished(() => worker.close());
    await worker.load({ model: 'toy:3' });
    const rows = [
      [7, 8, 9, 10, 11],
      [12, 13, 14, 15, 16, 17],
      [18, 19],
    ];
    const whole = new Worker(new ToyChannel());
    onTestFinished(() => whole.close());
    await whole.load({ model: 'toy:3' });
    expect(await worker.decode(rows)).toEqual(await whole.decode(rows));
    expect(decodeParts(rows, { headerBytes: 64 * 11, tensorBytes: 1 })).toEqual([
      { start: 0, end: 2 },
      { start: 2, end: 3 },
    ]);
  });

  it('names every example that no message can carry', async () => {
    const worker = new Worker(new ToyChannel(), { headerBytes: 4096 + 150, tensorBytes: 2 ** 20 });
    onTestFinished(() => worker.close());
    await worker.load({ model: 'toy:3' });
    const sized = [10, 200, 10, 300].map(length => ({ prompt: 'a'.repeat(length), completion: null }));
    const problems = [1, 3].map(index => expect.objectContaining({ index }));
    await expect(worker.encode(sized)).rejects.toMatchObject({
      code: 'BAD_PARAMS',
      data: { index: 1, reason: 'too_large', problems },
    });
  });

  it('refuses seeds that are too many or too few', async () => {
    const worker = new Worker(new ToyChannel(), { headerBytes: 2 ** 20, tensorBytes: 16 });
    onTestFinished(() => worker.close());
    await worker.load({ model: 'toy:3' });
    for (const seeds of [[1], [1, 2, 3]])
      await expect(worker.generate([[7], [8]], { maxNewTokens: 4, seeds })).rejects.toThrow(/seeds/);
  });
});
