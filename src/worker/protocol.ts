/**
 * The wire protocol, version 1: every verb with its parameters, tensors and result.
 *
 * This file is the only source. `npm run protocol` writes py_worker/protocol.py, the golden fixtures and the message list in
 * docs/protocol.md from it. Rules: every field is always sent and "none" is `null`; `z.int()` or `z.number()` (a finite float),
 * never an unnamed number; arrays of numbers are tensors (raw frames), not lists; paths cross, weights never do.
 */
import { z } from 'zod';
import type { DType } from './tensors.ts';

export const protocolVersion = 1;

export const limits = {
  /** Bytes of the msgpack header of one message. */
  headerBytes: 16 * 1024 * 1024,
  /** Raw frames of one message. */
  tensors: 64,
  /** Bytes of one raw frame. */
  tensorBytes: 1024 * 1024 * 1024,
  /** Requests a client may have in flight. */
  inFlight: 64,
} as const;

const count = z.int().min(0);
const uint32 = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);

export const errorCodes = {
  BAD_MESSAGE: 'The message could not be read: wrong frames, header or tensor table.',
  BAD_VERSION: 'Client and worker speak no common protocol version.',
  UNAUTHORIZED: 'The token in `hello` is wrong.',
  BUSY: 'A worker on the network serves another client; it takes one at a time.',
  NO_HELLO: 'A request came before a good `hello`; after a reconnect this means that the session is lost.',
  UNKNOWN_VERB: 'The worker has no such verb.',
  BAD_PARAMS: 'A parameter or tensor is wrong; the message names the path.',
  NO_MODEL: 'The verb needs a model and none is loaded.',
  NOT_FOUND: 'A model, tokenizer or file is not where it was said to be.',
  BAD_MODEL: 'The model directory is there but cannot be used: broken, incomplete or unsupported.',
  NON_FINITE: 'A loss, gradient or logit is NaN or infinite; nothing was changed.',
  DEPENDENCY_FAILED:
    'An `optimStep` names a `forwardBackward` that failed, was cancelled or is unknown; gradients are cleared.',
  SAVE_FAILED: 'Files could not be written (disk full, permissions); nothing half-written was left.',
  OOM: 'The device or the process ran out of memory in this request.',
  CANCELLED: 'The client cancelled the request.',
  UNSERIALIZABLE: 'The worker made a result that does not fit the protocol.',
  INTERNAL: 'A fault of the worker itself; the trace is attached.',
  TIMEOUT: 'Made by the client: the deadline that the caller set passed.',
  WORKER_DIED: 'Made by the client: the worker process ended.',
  WORKER_STUCK:
    'Made by the client: the worker stopped answering pings, or its request does nothing any more.',
  SPAWN_FAILED: 'Made by the client: the worker could not be started.',
  CLOSED: 'Made by the client: the worker was closed.',
} as const;
export type ErrorCode = keyof typeof errorCodes;
const errorCode = z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]);

// Records shared by verbs. `meta({ id })` gives the name of the generated Python struct.

const message = z
  .strictObject({
    role: z.string(),
    content: z.string().nullable(),
    learned: z.boolean(),
    fields: z.string().nullable(),
  })
  .meta({
    id: 'Message',
    description:
      'One message; `learned`: the loss counts what stands in it. `fields` is JSON of what else the template takes, such as tool_calls: ' +
      'numbers keep their digits so.',
  });

const text = z.union([z.string(), z.array(message)]);
const example = z
  .strictObject({ prompt: text, completion: text.nullable(), tools: z.string().nullable() })
  .meta({
    id: 'Example',
    description:
      'A prompt with the answer to learn, both as text or both as chat messages; `tools` is JSON of a list for the template.',
  });
export type WireExample = z.infer<typeof example>;
export type WireMessage = z.infer<typeof message>;

const adapter = z
  .strictObject({
    r: z.int().min(1),
    alpha: z.number(),
    dropout: z.number().min(0).max(1),
    targetModules: z.array(z.string()).nullable(),
    useRslora: z.boolean(),
    useDora: z.boolean(),
    modulesToSave: z.array(z.string()).nullable(),
    seed: uint32,
  })
  .meta({
    id: 'Adapter',
    description: 'A new LoRA adapter; null target modules mean every linear layer but the head.',
  });

const quantization = z.strictObject({ quantType: z.enum(['nf4', 'fp4']), doubleQuant: z.boolean() }).meta({
  id: 'Quantization',
  description:
    'Linear layers but the head in 4 bits, by bitsandbytes (arXiv 2305.14314); `doubleQuant`: their scales in 8 bits.',
});

const blend = z
  .strictObject({
    model: z.string().min(1),
    revision: z.string().nullable(),
    share: z.number().gt(0).lt(1),
  })
  .meta({
    id: 'Blend',
    description: 'Another model of the same architecture, a revision where it is a hub id, and its share.',
  });

const otherModel = z.strictObject({ model: z.string().min(1), revision: z.string().nullable() }).meta({
  id: 'OtherModel',
  description: 'Another model of the same architecture, and a revision where it is a hub id.',
});

export type OtherModel = z.infer<typeof otherModel>;

const modelInfo = z
  .strictObject({
    architecture: z.string(),
    parameterCount: count,
    trainableParameterCount: count,
    vocabSize: count,
    maxPositions: count.nullable(),
    eosTokenIds: z.array(count),
    bosTokenId: count.nullable(),
    padTokenId: count.nullable(),
    hasChatTemplate: z.boolean(),
    dtype: z.string(),
    computeDtype: z.string(),
    device: z.string(),
    attention: z.string(),
    layout: z.enum(['bucket', 'pack']),
    tokenBudget: count,
    gradientCheckpointing: z.boolean(),
    torchCompile: z.boolean(),
    strictSampling: z.boolean(),
    optimizerSteps: count,
    weightsDigest: z.string().nullable(),
    filesDigest: z.string(),
    notes: z.array(z.string()),
  })
  .meta({
    id: 'ModelInfo',
    description:
      'What was loaded; `filesDigest` is of all its files but the weights, `notes` has a sentence for every fallback taken.',
  });
export type ModelInfo = z.infer<typeof modelInfo>;

const normalizer = z.number().positive();
const componentSums = z.strictObject({ lossSum: z.number(), weightSum: z.number(), tokenCount: count }).meta({
  id: 'ComponentSums',
  description: 'Σ weight·loss, Σ weight and the number of tokens with a nonzero weight.',
});
export type ComponentSums = z.infer<typeof componentSums>;

const savedFile = z
  .strictObject({ name: z.string(), bytes: count, sha256: z.string() })
  .meta({ id: 'SavedFile' });

/** One tensor of a verb: its element type and rank. */
export type TensorSpec = {
  readonly dtype: DType;
  readonly rank: number;
  readonly required: boolean;
  readonly doc: string;
};
const tensor = (dtype: DType, doc: string): TensorSpec => ({ dtype, rank: 1, required: true, doc });
const optionalTensor = (dtype: DType, doc: string): TensorSpec => ({ dtype, rank: 1, required: false, doc });
/** k values a token. */
const optionalTable = (dtype: DType, doc: string): TensorSpec => ({ dtype, rank: 2, required: false, doc });

const sequences = {
  ids: tensor('i32', 'token ids of all sequences, end to end [N]'),
  offsets: tensor('i32', 'where each sequence starts, and N [n + 1]'),
};

export const verbs = {
  load: {
    doc:
      'Load a model from a local directory or hub id, with a new or existing LoRA adapter; replaces the one loaded before. ' +
      '`dtype` is of the stored weights, `computeDtype` of all that is computed: bfloat16 works on copies of float32 weights, `auto` is ' +
      'bfloat16 on a GPU that has it; `rounding` is of updates written into bfloat16. `attention` has its transformers name; `auto`: what ' +
      'transformers chooses, with variable-length attention for packed rows on a GPU. `gradientCheckpointing` null: on a GPU only where ' +
      'few tokens fit without; `tokenBudget` null: as many padded tokens a micro-batch as the memory holds. ' +
      '`torchCompile` compiles each decoder layer for what gradients are made of, null: no; BAD_PARAMS where that fails. ' +
      '`determinism` is of the kernels; `strictSampling` says whether answers must not depend on their batch: null with `strict` and, ' +
      'where it holds, with `auto` on a CPU. With ' +
      '`expectedDigest` its weights must have that digest, and every file of a directory that `save` wrote must be as it was written: ' +
      'else BAD_MODEL with the reason `damaged`. A training state is always checked so. With `blend` each weight then becomes ' +
      '(1 − share) of its own and share of the other model’s; an adapter can be blended with what it stands on, which scales what it adds. ' +
      'With `quantization` there must be an adapter, a new one or `model`: weights in 4 bits do not learn.',
    params: z.strictObject({
      model: z.string().min(1),
      revision: z.string().nullable(),
      dtype: z.enum(['float32', 'bfloat16']),
      computeDtype: z.enum(['auto', 'float32', 'bfloat16']),
      rounding: z.enum(['stochastic', 'nearest']),
      device: z.string(),
      attention: z.string(),
      trustRemoteCode: z.boolean(),
      adapter: adapter.nullable(),
      quantization: quantization.nullable(),
      gradientCheckpointing: z.boolean().nullable(),
      torchCompile: z.boolean().nullable(),
      tokenBudget: z.int().min(1).nullable(),
      layout: z.enum(['auto', 'bucket', 'pack']),
      determinism: z.enum(['auto', 'off', 'seeded', 'strict']),
      strictSampling: z.boolean().nullable(),
      threads: z.int().min(1).nullable(),
      seed: uint32,
      restoreTrainingState: z.boolean(),
      digest: z.boolean(),
      expectedDigest: z.string().nullable(),
      blend: blend.nullable(),
    }),
    tensors: {},
    result: modelInfo,
    resultTensors: {},
  },
  encode: {
    doc:
      "Turn text or chat messages into ids with the model's tokenizer and template; nothing is truncated. `stopIds` end an answer " +
      'under the template: sampling stops there, whatever the model calls its end. With `splitSpecialTokens` the name of a control ' +
      "token in somebody's words is plain text. `date` (such as 2026-11-26) is what a template takes for today, null the day of the " +
      'call; `readsDate`: it asked.',
    params: z.strictObject({
      examples: z.array(example),
      maxLength: z.int().min(1).nullable(),
      chatTemplate: z.string().nullable(),
      templateOptions: z.record(z.string(), z.union([z.string(), z.boolean(), z.null()])),
      splitSpecialTokens: z.boolean(),
      date: z.string().nullable(),
    }),
    tensors: {},
    result: z.strictObject({
      warnings: z.array(
        z.strictObject({ code: z.string(), message: z.string(), count, firstIndex: count }).meta({
          id: 'EncodeWarning',
          description: 'Something about the examples that a person should know.',
        }),
      ),
      stopIds: z.array(count),
      readsDate: z.boolean(),
    }),
    resultTensors: {
      ...sequences,
      promptLengths: tensor('i32', 'ids of each sequence that stand before its last answer [n]'),
      learned: tensor('u8', '1: the loss counts this token [N]'),
    },
  },
  decode: {
    doc: 'Turn ids into text, for people: nothing is ever trained on decoded text.',
    params: z.strictObject({ skipSpecialTokens: z.boolean() }),
    tensors: sequences,
    result: z.strictObject({ texts: z.array(z.string()) }),
    resultTensors: {},
  },
  forward: {
    doc:
      'Log-probability (and entropy) in nats of each given token under the current weights; 0 at the first of a sequence. ' +
      '`weightsDigest` is of those weights, null where nobody asked for it since they changed. With `topK` also the likeliest ids in the ' +
      'place of each token, of the whole vocabulary where it has fewer. `kept`: all under the weights that `keep` holds, whose digest is null. ' +
      'With `other`, a model that is loaded for this alone, also how far the two distributions in the place of each token are from each other. ' +
      'With `starts` only of the tokens from there on: neighbours that are equal up to there are a context and its continuations, and the context ' +
      'is computed once, which may round otherwise.',
    params: z.strictObject({
      returnEntropy: z.boolean(),
      topK: count,
      kept: z.boolean(),
      other: otherModel.nullable(),
    }),
    tensors: {
      ...sequences,
      starts: optionalTensor(
        'i32',
        'first token of each sequence that is asked for, 1 or later; 0 before it [n]',
      ),
    },
    result: z.strictObject({ tokens: count, weightsDigest: z.string().nullable() }),
    resultTensors: {
      logprobs: tensor('f32', 'log p(token | tokens before it) [N]'),
      entropy: optionalTensor('f32', 'entropy of the distribution that the token was drawn from [N]'),
      topIds: optionalTable(
        'i32',
        'the likeliest ids, the likeliest first; 0 at the first of a sequence [N, k]',
      ),
      topLogprobs: optionalTable('f32', 'their log-probabilities; 0 at the first of a sequence [N, k]'),
      klToOther: optionalTensor('f32', 'KL(this model‖other) over the vocabulary, in nats [N]'),
      klFromOther: optionalTensor('f32', 'KL(other‖this model) [N]'),
    },
  },
  keep: {
    doc:
      'Keep a copy of what is trained beside it, for `forward` to be asked of: of the weights as they are, or of `model`, a model of the ' +
      'same architecture (`revision`: of a hub id). With `share` below 1 the copy that is there moves by so much towards them. A training state holds it; `load` ends it.',
    params: z.strictObject({
      model: z.string().min(1).nullable(),
      revision: z.string().nullable(),
      share: z.number().gt(0).max(1),
    }),
    tensors: {},
    result: z.strictObject({ bytes: count }),
    resultTensors: {},
  },
  forwardBackward: {
    doc: 'Add the gradient of Σ components (Σ weight·loss) / normalizer; the normalizer is global, so splits change nothing but rounding.',
    params: z.strictObject({
      ce: z
        .strictObject({ normalizer })
        .meta({ id: 'CrossEntropy', description: 'loss = −log p' })
        .nullable(),
      dft: z
        .strictObject({ normalizer })
        .meta({ id: 'DynamicFineTuning', description: 'loss = −sg[p]·log p (arXiv 2508.05629)' })
        .nullable(),
      policyGradient: z
        .strictObject({
          normalizer,
          clipLow: z.number().nullable(),
          clipHigh: z.number().nullable(),
          klCoefficient: z.number(),
        })
        .meta({
          id: 'PolicyGradient',
          description:
            'loss = −advantage·ratio, PPO-clipped to [1 − clipLow, 1 + clipHigh], plus klCoefficient · k3(reference)',
        })
        .nullable(),
      match: z
        .strictObject({ normalizer, direction: z.enum(['forward', 'reverse']) })
        .meta({
          id: 'Match',
          description:
            'loss = forward: KL(given‖model), reverse: KL(model‖given), of a distribution given over k ids in the place of a token and ' +
            'one place for all other ids',
        })
        .nullable(),
      dropoutSeed: uint32.nullable(),
      returnLogprobs: z.boolean(),
      returnEntropy: z.boolean(),
    }),
    tensors: {
      ...sequences,
      ceWeights: optionalTensor('f32', 'weight of each token in `ce` [N]'),
      dftWeights: optionalTensor('f32', 'weight of each token in `dft` [N]'),
      policyGradientWeights: optionalTensor('f32', 'weight of each token in `policyGradient` [N]'),
      advantages: optionalTensor('f32', 'advantage of each token [N]'),
      oldLogprobs: optionalTensor(
        'f32',
        'log-probabilities when the tokens were sampled [N]; absent: on-policy',
      ),
      referenceLogprobs: optionalTensor('f32', 'log-probabilities under the reference model [N]'),
      matchWeights: optionalTensor('f32', 'weight of each token in `match` [N]'),
      targetIds: optionalTable(
        'i32',
        'k different ids in the place of each token; not read where its weight is 0 [N, k]',
      ),
      targetLogprobs: optionalTable('f32', 'their log-probabilities in the given distribution [N, k]'),
    },
    result: z.strictObject({
      ce: componentSums.nullable(),
      dft: componentSums.nullable(),
      policyGradient: componentSums.nullable(),
      match: componentSums.nullable(),
      tokens: count,
      paddedTokens: count,
      microBatches: count,
    }),
    resultTensors: {
      logprobs: optionalTensor('f32', 'log-probabilities before the update [N]'),
      entropy: optionalTensor('f32', 'entropies before the update [N]'),
    },
  },
  optimStep: {
    doc: 'One optimiser step on the gradients of exactly the named `forwardBackward` requests; clears gradients whatever happens.',
    params: z.strictObject({
      dependsOn: z.array(uint32).min(1),
      adamw: z
        .strictObject({
          learningRate: z.number().min(0),
          beta1: z.number().min(0).lt(1),
          beta2: z.number().min(0).lt(1),
          epsilon: z.number().min(0),
          weightDecay: z.number().min(0),
          eightBit: z.boolean(),
        })
        .meta({ id: 'Adamw', description: '`eightBit`: moments in 8 bits, by bitsandbytes.' }),
      muon: z
        .strictObject({
          learningRate: z.number().min(0),
          momentum: z.number().min(0).lt(1),
          nesterov: z.boolean(),
          nsSteps: z.int().min(1).max(99),
          weightDecay: z.number().min(0),
          adjustLearningRate: z.enum(['original', 'match_rms_adamw']),
        })
        .meta({
          id: 'Muon',
          description: 'For 2-D weights other than embeddings and head; AdamW takes the rest.',
        })
        .nullable(),
      maxGradNorm: z.number().positive().nullable(),
      countUpdates: z.boolean(),
    }),
    tensors: {},
    result: z.strictObject({
      gradNorm: z.number(),
      step: count,
      updates: z
        .strictObject({ counted: count, lost: count })
        .meta({
          id: 'UpdateCounts',
          description:
            'Of evenly spread trained weights: those with a gradient other than 0, and how many of them are bit for bit what they were.',
        })
        .nullable(),
    }),
    resultTensors: {},
  },
  generate: {
    doc:
      'Sample an answer to each prompt. It ends with a stop id, or once its text (never the prompt’s) holds a stop text. One seed an ' +
      'answer; under strict sampling an answer never depends on its batch. Answers leave in `part` messages as they finish, in any ' +
      'order, whatever becomes of the rest; the reply has those that are left, and the `weightsDigest` of all, as in `forward`.',
    params: z.strictObject({
      maxNewTokens: z.int().min(1),
      temperature: z.number().min(0),
      topP: z.number().positive().max(1),
      topK: count,
      stopIds: z.array(count),
      stopTexts: z.array(z.string().min(1)),
      maxRows: z.int().min(1).nullable(),
    }),
    tensors: { ...sequences, seeds: tensor('u32', 'one seed an answer [n]') },
    result: z.strictObject({ newTokens: count, weightsDigest: z.string().nullable() }),
    resultTensors: {
      rows: tensor('i32', 'the prompt that each answer is to, rising [n]'),
      ids: tensor('i32', 'sampled ids of all answers, end to end, the stop id included [M]'),
      offsets: tensor('i32', 'where each answer starts, and M [n + 1]'),
      logprobs: tensor('f32', 'log-probability of each sampled id at temperature 1 without filters [M]'),
      finished: tensor('u8', '2: a stop text ended it; 1: a stop id did; 0: cut at maxNewTokens [n]'),
      textIds: optionalTensor(
        'i32',
        'where there are stop texts: ids of what each answer says before one, else its ids; the last token is written anew where the stop text begins within it [K]',
      ),
      textOffsets: optionalTensor('i32', 'where the textIds of each answer start, and K [n + 1]'),
    },
  },
  save: {
    doc:
      'Write a Hugging Face or PEFT directory (`weights`), or one that training continues from bit-equally (`trainingState`). ' +
      '`stopIds` become the ends of sequence of its generation config; null leaves those that were loaded.',
    params: z.strictObject({
      path: z.string().min(1),
      kind: z.enum(['weights', 'trainingState']),
      stopIds: z.array(count).nullable(),
    }),
    tensors: {},
    result: z.strictObject({
      path: z.string(),
      bytes: count,
      files: z.array(savedFile),
      weightsDigest: z.string(),
    }),
    resultTensors: {},
  },
  status: {
    doc: 'Versions, device, memory, threads, determinism settings and the loaded model, on request with the digest of its weights.',
    params: z.strictObject({ digest: z.boolean() }),
    tensors: {},
    result: z.strictObject({
      pid: count,
      versions: z.record(z.string(), z.string()),
      threads: count,
      residentBytes: count,
      peakResidentBytes: count,
      deviceName: z.string(),
      deviceTotalBytes: count,
      devicePeakBytes: count,
      determinism: z.record(z.string(), z.string()),
      model: modelInfo.nullable(),
    }),
    resultTensors: {},
  },
} as const;

export type Verbs = typeof verbs;
export type VerbName = keyof Verbs;
export type Params<V extends VerbName> = z.infer<Verbs[V]['params']>;
export type Result<V extends VerbName> = z.infer<Verbs[V]['result']>;

// Headers. Client → worker: hello, req, cancel, ping, bye. Worker → client: welcome, res, part, err, evt, pong.

const tensorTable = z.array(z.tuple([z.string(), z.string(), z.array(count)]));
const v = z.literal(protocolVersion);

const progress = z.strictObject({ done: count, total: count, tokens: count });
export type Progress = z.infer<typeof progress>;

const errorEnvelope = z.strictObject({
  code: errorCode,
  type: z.string(),
  message: z.string(),
  trace: z.string().nullable(),
  data: z.record(z.string(), z.unknown()).nullable(),
});

export const workerHeader = z.discriminatedUnion('t', [
  z.object({
    v,
    t: z.literal('welcome'),
    id: uint32,
    protocol: z.int(),
    pid: count,
    python: z.string(),
    verbs: z.array(z.string()),
    /** What stands in the files that `hello` names, null where this worker cannot read one. */
    seen: z.array(z.string().nullable()),
  }),
  z.object({ v, t: z.literal('res'), id: uint32, r: z.unknown(), tz: tensorTable }),
  z.object({ v, t: z.literal('part'), id: uint32, tz: tensorTable }),
  z.object({ v, t: z.literal('err'), id: uint32, e: errorEnvelope }),
  z.object({ v, t: z.literal('evt'), id: uint32, k: z.literal('progress'), q: uint32, d: progress }),
  z.object({
    v,
    t: z.literal('pong'),
    id: uint32,
    busy: uint32.nullable(),
    age: z.number(),
    queued: count,
    idle: z.number(),
    place: z.string().nullable(),
  }),
]);
export type WorkerHeader = z.infer<typeof workerHeader>;

export type ClientHeader =
  | {
      v: 1;
      t: 'hello';
      id: number;
      proto: [min: number, max: number];
      client: string;
      token: string;
      /** Files that were written a moment ago, for a worker elsewhere to show that it sees them. */
      nonces: string[];
    }
  | {
      v: 1;
      t: 'req';
      id: number;
      op: string;
      p: unknown;
      tz: [name: string, dtype: string, shape: number[]][];
    }
  | { v: 1; t: 'cancel'; id: number }
  | { v: 1; t: 'ping'; id: number }
  | { v: 1; t: 'bye'; id: number };
