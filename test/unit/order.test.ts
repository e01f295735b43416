import { describe, expect, it } from 'vitest';
import { allVisits, batches, epochOrder, visitCount } from '../../src/plan/training-plan.ts';

describe('epochOrder', () => {
  it('is a permutation, the same for the same seed and epoch, another for others', () => {
    const order = epochOrder(42, 0, 100);
    expect([...order].toSorted((a, b) => a - b)).toEqual([...Array(100).keys()]);
    expect(epochOrder(42, 0, 100)).toEqual(order);
    expect(epochOrder(42, 1, 100)).not.toEqual(order);
    expect(epochOrder(43, 0, 100)).not.toEqual(order);
  });

  it('reaches all six orders of three about equally often: 1,000 ± 4 standard deviations of 29', () => {
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 6000; epoch++) {
      const key = epochOrder(7, epoch, 3).join('');
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(116);
  });
});

describe('batches', () => {
  const order = { seed: 42, examples: 10, batchSize: 4 };

  it('sees every example once an epoch, in batches of 4, 4 and 2', () => {
    const batchOf = batches(order);
    const epoch = [0, 1, 2].map(batchOf);
    expect(epoch.map(({ length }) => length)).toEqual([4, 4, 2]);
    expect(
      epoch
        .flat()
        .map(({ example }) => example)
        .toSorted((a, b) => a - b),
    ).toEqual([...Array(10).keys()]);
    expect(batchOf(3).map(({ epoch: number, visit }) => [number, visit])).toEqual([
      [1, 10],
      [1, 11],
      [1, 12],
      [1, 13],
    ]);
  });

  it('gives a step whatever was asked before: a resume needs only the step', () => {
    const inOrder = batches(order);
    const steps = [0, 1, 2, 3, 4, 5, 6].map(inOrder);
    expect(batches(order)(5)).toEqual(steps[5]);
    expect(inOrder(1)).toEqual(steps[1]);
  });

  it('numbers the visits of a run, partial epochs included', () => {
    expect(visitCount(order, 6)).toBe(20);
    expect(visitCount(order, 7)).toBe(24);
    const visits = [...allVisits(order, 7)];
    expect(visits.map(({ visit }) => visit)).toEqual([...Array(24).keys()]);
  });

  it('takes a batch larger than the data', () => {
    expect(batches({ ...order, batchSize: 64 })(1)).toHaveLength(10);
  });
});
