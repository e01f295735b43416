/** Memory that a run takes at its peak, by what takes it. Pure; the worker's own rules in numbers. */
/** Of a decoder; what config.json says of it. */
export type ModelShape = {
  readonly layers: number;
  readonly features: number;
  /** Of the feed-forward part. */
  readonly units: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headSize: number;
  /** Input embeddings and head are one matrix. */
  readonly isTied: boolean;
};

/** What of model, configuration and machine it follows from. */
export type MemoryFacts = {
  readonly parameters: number;
  readonly trainable: number;
  readonly isAdapter: boolean;
  /** Bits of a weight of the linear layers under an adapter, with their scales; null: they are held as is computed. */
  readonly quantizedBits: number | null;
  /** Precision in which weights are held and updated, and in which is computed. */
  readonly dtype: 'float32' | 'bfloat16';
  readonly computeDtype: 'float32' | 'bfloat16';
  readonly optim: 'adamw_torch' | 'adamw_8bit' | 'muon';
  readonly isCheckpointed: boolean;
  /** Padded tokens of a micro-batch. */
  readonly tokens: number;
  readonly vocabSize: number;
  /** Null where the model's files are not at hand: then what depends on it is not counted. */
  readonly shape: ModelShape | null;
  /** Tokens of the longest prompt with its answer; 0 where nobody is asked. */
  readonly slots: number;
  /** The reference model of a training: a copy of what is trained, or an average of it, which is of float32. */
  readonly reference: 'nothing' | 'copy' | 'average';
  readonly device: 'cpu' | 'cuda';
  /** Memory of the device, which others may use too. */
  readonly deviceBytes: number;
};

/** Bytes. `sampleBytes` is beside weights alone, all others are held together. */
export type MemoryCost = {
  readonly weightBytes: number;
  /** Float32 originals of what is trained, where it is computed in less. */
  readonly masterBytes: number;
  readonly gradientBytes: number;
  readonly momentBytes: number;
  readonly activationBytes: number;
  readonly headBytes: number;
  /** Of a backward pass: the gradient of one layer's activations, and that of the embeddings before it is added. */
  readonly passingBytes: number;
  /** On a CPU: Python with its libraries, and what the allocator keeps. */
  readonly processBytes: number;
  readonly referenceBytes: number;
  /** Keys, values and logits while answers are sampled. */
  readonly sampleBytes: number;
  readonly peakBytes: number;
  readonly deviceBytes: number;
};

const sizes = { float32: 4, bfloat16: 2 } as const;
/** py_worker/head.py: a chunk of float32 logits; beside it their softmax and its gradient. */
const chunkBytes = { cpu: 64 * 2 ** 20, cuda: 512 * 2 ** 20 } as const;
const chunksHeld = 3;
/** py_worker/row_budget.py. */
const logitBytes = 16;
const cacheBytesOnCpu = 2 * 2 ** 30;
const mostRows = { cpu: 256, cuda: 1024 } as const;

/**
 * Measured: VmHWM of two steps of 2,048 tokens of SmolLM2-135M (float32, checkpointed, a CPU; torch 2.13, transformers 5.19) was 4.44 GB,
 * 0.91 GB of it after the imports alone. The other 3.53 GB are 1.23 times what is counted here (2.86): glibc keeps what was freed. A GPU's
 * context is not counted, nobody has measured it.
 */
const librariesOnCpu = 0.91e9;
const keptOnCpu = 0.25;

/**
 * Weights, originals, gradients and moments are exact to a percent, the rest is what the worker itself reckons with.
 */
export function memoryCost(facts: MemoryFacts): MemoryCost {
  const { trainable, shape, device, deviceBytes } = facts;
  const weightBytes = bytesOfWeights(facts);
  const hasMasters = facts.computeDtype === 'bfloat16' && (facts.dtype === 'float32' || facts.isAdapter);
  const learned = hasMasters || facts.isAdapter ? 4 : sizes[facts.dtype];
  const referenceBytes = { nothing: 0, copy: learned, average: 4 }[facts.reference] * trainable;
  const masterBytes = hasMasters ? 4 * trainable : 0;
  const gradientBytes = learned * trainable;
  const momentBytes = bytesOfMoments(facts, learned);
  const activationBytes = shape === null ? 0 : facts.tokens * bytesOfToken(facts, shape);
  const logits = Math.min(chunkBytes[device], facts.tokens * facts.vocabSize * 4);
  const headBytes = chunksHeld * logits;
  const passingBytes = shape === null ? 0 : bytesPassing(facts, shape);
  const sampleBytes =
    shape === null ? 0 : bytesOfSampling(facts, shape, deviceBytes - weightBytes - referenceBytes);
  const held = weightBytes + masterBytes + referenceBytes;
  const training = gradientBytes + momentBytes + activationBytes + headBytes + passingBytes;
  const counted = held + Math.max(training, sampleBytes);
  const processBytes = device === 'cpu' ? librariesOnCpu + keptOnCpu * counted : 0;
  const peakBytes = counted + processBytes;
  return {
    weightBytes,
    masterBytes,
    gradientBytes,
    momentBytes,
    activationBytes,
    headBytes,
    passingBytes,
    processBytes,
    referenceBytes,
    sampleBytes,
    peakBytes,
    deviceBytes,
  };
}

/** In 4 bits are linear layers but the head; what an adapter adds is held as is computed. */
function bytesOfWeights(facts: MemoryFacts): number {
  const { parameters, trainable, quantizedBits: bits, computeDtype, vocabSize, shape } = facts;
  if (bits === null) return parameters * sizes[computeDtype];
  const outer = shape === null ? 0 : vocabSize * shape.features * (shape.isTied ? 1 : 2);
  const whole = Math.min(parameters, outer + trainable);
  return whole * sizes[computeDtype] + ((parameters - whole) * bits) / 8;
}

/** The backward of an embedding makes a gradient of its whole matrix, whatever was read of it. */
function bytesPassing(facts: MemoryFacts, shape: ModelShape): number {
  const { tokens, vocabSize, computeDtype, isAdapter } = facts;
  const embeddings = isAdapter ? 0 : vocabSize * shape.features;
  return embeddings * sizes[computeDtype] + tokens * bytesOfLayer(computeDtype, shape);
}

function bytesOfLayer(dtype: MemoryFacts['computeDtype'], { features, units }: ModelShape): number {
  return (16 * features + 4 * units) * sizes[dtype];
}

/** AdamW has two of each weight; in 8 bits blocks of 256 share a scale, and embeddings keep 32 bits; Muon has one of each matrix in the layers. */
function bytesOfMoments(
  { optim, trainable, shape, vocabSize, isAdapter }: MemoryFacts,
  learned: number,
): number {
  const embeddings = shape === null || isAdapter ? 0 : vocabSize * shape.features * (shape.isTied ? 1 : 2);
  const outer = Math.min(embeddings, trainable);
  if (optim === 'adamw_8bit') return 2 * (4 * outer + (trainable - outer) * (1 + 4 / 256));
  return optim === 'muon' ? learned * (trainable + outer) : 2 * learned * trainable;
}

/** What a token leaves for the backward pass, as py_worker/token_budget.py reckons (Korthikanti 2205.05198, eq. 1). */
function bytesOfToken({ computeDtype, isCheckpointed }: MemoryFacts, shape: ModelShape): number {
  const { features, layers } = shape;
  const layer = bytesOfLayer(computeDtype, shape);
  return isCheckpointed ? features * sizes[computeDtype] * layers + layer : layers * layer;
}

function bytesOfSampling(
  facts: MemoryFacts,
  { layers, keyHeads, headSize }: ModelShape,
  beside: number,
): number {
  const { slots, vocabSize, device, computeDtype } = facts;
  if (slots === 0) return 0;
  const row = slots * 2 * layers * keyHeads * headSize * sizes[computeDtype] + logitBytes * vocabSize;
  const most = device === 'cpu' ? cacheBytesOnCpu : Math.max(0, beside) / 2;
  return Math.max(1, Math.min(Math.floor(most / row), mostRows[device])) * row;
}
