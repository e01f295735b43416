/** The plan's memory against what torch counts in the worker's own functions, byte by byte where that is meant. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type MemoryFacts, memoryCost } from '../../src/plan/memory.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

type Counted = Record<
  | 'parameters'
  | 'trainable'
  | 'weightBytes'
  | 'masterBytes'
  | 'gradientBytes'
  | 'momentBytes'
  | 'activationBytes',
  number
> & { readonly case: string };

const tokens = 128;
/** As builders.py writes it with --hidden-size 64: 2 layers, 101 tokens, head and embeddings apart. */
const facts = {
  isAdapter: false,
  quantizedBits: null,
  dtype: 'float32',
  computeDtype: 'float32',
  optim: 'adamw_torch',
  isCheckpointed: false,
  tokens,
  vocabSize: 101,
  shape: { layers: 2, features: 64, units: 64, heads: 4, keyHeads: 2, headSize: 16, isTied: false },
  reference: 'nothing',
  slots: 0,
  device: 'cpu',
  deviceBytes: 8e9,
} as const;
const cases: Readonly<Record<string, Partial<MemoryFacts>>> = {
  float32: {},
  checkpointed: { isCheckpointed: true },
  bf16: { computeDtype: 'bfloat16' },
  bfloat16: { dtype: 'bfloat16', computeDtype: 'bfloat16' },
  lora: { isAdapter: true },
  'lora bf16': { isAdapter: true, computeDtype: 'bfloat16' },
  muon: { optim: 'muon' },
};

describe('the memory that a plan states', () => {
  let counted: Counted[];
  beforeAll(async () => {
    const script = join(import.meta.dirname, '../fixtures/python/count_memory.py');
    const args = [script, await tinyModel(64), String(tokens)];
    const { stdout, stderr } = spawnSync(await pythonPath(), args, { encoding: 'utf8' });
    expect(stdout, stderr).not.toBe('');
    counted = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
  });

  it.each(Object.keys(cases))('is that of weights, originals, gradients and moments: %s', name => {
    const found = counted.find(one => one.case === name) as Counted;
    const { parameters, trainable } = found;
    const cost = memoryCost({ ...facts, ...cases[name], parameters, trainable });
    const { weightBytes, masterBytes, gradientBytes, momentBytes } = found;
    expect(cost).toMatchObject({ weightBytes, masterBytes, gradientBytes });
    expect(cost.momentBytes / momentBytes).toBeCloseTo(1, 2); // Muon leaves norms to AdamW
  });

  it('has activations that are enough, and not twice of what is kept', () => {
    for (const name of ['float32', 'bf16', 'lora']) {
      const found = counted.find(one => one.case === name) as Counted;
      const { activationBytes } = memoryCost({ ...facts, ...cases[name], ...found });
      expect(activationBytes / found.activationBytes, name).toBeGreaterThan(1);
      expect(activationBytes / found.activationBytes, name).toBeLessThan(2.1);
    }
  });
});
