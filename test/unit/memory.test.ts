import { describe, expect, it } from 'vitest';
import { describeMemory } from '../../src/plan/describe.ts';
import { refuseTooLarge } from '../../src/plan/fit-memory.ts';
import { type MemoryFacts, memoryCost } from '../../src/plan/memory.ts';

/** Qwen2.5-7B-Instruct by its config.json; 7,615,616,512 weights by its card's safetensors. */
const qwen7b: MemoryFacts = {
  parameters: 7_615_616_512,
  trainable: 7_615_616_512,
  isAdapter: false,
  quantizedBits: null,
  dtype: 'float32',
  computeDtype: 'bfloat16',
  optim: 'adamw_torch',
  isCheckpointed: true,
  tokens: 8192,
  vocabSize: 152_064,
  shape: { layers: 28, features: 3584, units: 18_944, heads: 28, keyHeads: 4, headSize: 128, isTied: false },
  slots: 1024,
  reference: 'nothing',
  device: 'cuda',
  deviceBytes: 80e9,
};

describe('memory', () => {
  it('of mixed precision is 18 bytes a weight, which 80 GB do not hold of 7 billion', () => {
    const cost = memoryCost(qwen7b);
    // 2 (copy) + 4 (original) + 4 (gradient) + 8 (moments), as in ZeRO (1910.02054, section 3.1) with float32 gradients.
    const held = cost.weightBytes + cost.masterBytes + cost.gradientBytes + cost.momentBytes;
    expect(held).toBe(18 * 7_615_616_512);
    expect(() => refuseTooLarge(qwen7b, 'the GPU')).toThrow(
      /does not fit into the memory of the GPU: about 1\d\d GB of 80 GB: weights 15.2 GB, float32 originals 30.5 GB/,
    );
  });

  it('that is too little says what would fit, with what it then takes', () => {
    const fixOf = (facts: MemoryFacts) => {
      try {
        refuseTooLarge(facts, 'the GPU');
        return 'fits';
      } catch (error) {
        return (error as { fix: string }).fix;
      }
    };
    // In bfloat16 8 bytes a weight are 61 GB; LoRA holds 2 of each, and 16 of a hundredth.
    expect(fixOf(qwen7b)).toMatch(
      /^any of these would: dtype=bfloat16 \(6\d(\.\d)? GB\); use_peft=true \(\d+(\.\d)? GB\); use_peft=true dtype=bfloat16/,
    );
    expect(fixOf({ ...qwen7b, deviceBytes: 200e9 })).toBe('fits');
    expect(fixOf({ ...qwen7b, deviceBytes: 8e9 })).toContain('a smaller model, or a larger device');
    const tight = { ...qwen7b, dtype: 'bfloat16' as const, deviceBytes: 66e9, tokens: 32_768 };
    expect(fixOf(tight)).toMatch(/^any of these would: worker.token_budget=512/);
  });

  it('holds what is kept beside a training: a copy as it is learned, an average of it in float32', () => {
    const referenceBytes = (facts: Partial<MemoryFacts>) => {
      const [alone, beside] = [
        { ...qwen7b, ...facts, reference: 'nothing' as const },
        { ...qwen7b, ...facts },
      ];
      const [less, more] = [memoryCost(alone), memoryCost(beside)];
      expect(more.peakBytes - less.peakBytes).toBe(more.referenceBytes);
      return more.referenceBytes;
    };
    const bfloat16 = { dtype: 'bfloat16' } as const;
    expect(referenceBytes({ reference: 'copy', slots: 0 })).toBe(4 * 7_615_616_512); // of the float32 originals
    expect(referenceBytes({ ...bfloat16, reference: 'copy', slots: 0 })).toBe(2 * 7_615_616_512);
    expect(referenceBytes({ ...bfloat16, reference: 'average', slots: 0 })).toBe(4 * 7_615_616_512);
    expect(referenceBytes({ isAdapter: true, trainable: 40e6, reference: 'copy', slots: 0 })).toBe(160e6);
    const tight = { ...qwen7b, deviceBytes: 160e9 }; // 18 bytes a weight are 137 GB
    expect(() => refuseTooLarge(tight, 'the GPU')).not.toThrow();
    expect(() => refuseTooLarge({ ...tight, reference: 'copy' }, 'the GPU')).toThrow(
      'reference model 30.5 GB',
    );
  });

  it('of SmolLM2-135M on a CPU is what a run of it was measured to take', () => {
    const cost = memoryCost({
      ...qwen7b,
      parameters: 134_515_008,
      trainable: 134_515_008,
      computeDtype: 'float32',
      tokens: 2048,
      vocabSize: 49_152,
      shape: { layers: 30, features: 576, units: 1536, heads: 9, keyHeads: 3, headSize: 64, isTied: true },
      slots: 0,
      device: 'cpu',
      deviceBytes: 25e9,
    });
    expect(cost).toMatchObject({
      weightBytes: 538_060_032, // 4 bytes each; gradients the same, moments twice that
      momentBytes: 1_076_120_064,
      activationBytes: 267_386_880, // 2048 · (30 · 576 + 16 · 576 + 4 · 1536) · 4
      headBytes: 201_326_592, // 3 · 64 MiB
      passingBytes: 239_075_328, // 49,152 · 576 · 4 + 2048 · (16 · 576 + 4 · 1536) · 4
    });
    // VmHWM of the worker after two steps: 4.437 GB.
    expect(cost.peakBytes / 4.437e9).toBeCloseTo(1, 1);
    expect(describeMemory(cost)).toContain('Python and its allocator 1.6');
  });

  it('of weights in 4 bits is half a byte and their scales, but of embeddings and head', () => {
    const adapted = { ...qwen7b, isAdapter: true, trainable: 40_000_000, slots: 0 };
    const bits = (quantizedBits: number) => memoryCost({ ...adapted, quantizedBits }).weightBytes;
    const outer = 2 * 152_064 * 3584 + 40_000_000; // in bfloat16, as the adapter
    expect(bits(4.5)).toBe(2 * outer + ((7_615_616_512 - outer) * 4.5) / 8);
    expect(bits(4.5)).toBeLessThan(0.4 * memoryCost(adapted).weightBytes);
  });

  it('while answers are sampled is keys and values of as many rows as fit', () => {
    // A slot of 28 layers × 4 key heads × 128 × 2 (keys, values) × 2 bytes is 57,344 bytes.
    const cost = memoryCost({ ...qwen7b, isAdapter: true, trainable: 40e6 });
    const row = 1024 * 57_344 + 16 * 152_064;
    expect(cost.sampleBytes).toBe(Math.floor((80e9 - 2 * 7_615_616_512) / 2 / row) * row);
    expect(describeMemory(cost)).toContain('; while it samples 32');
  });
});
