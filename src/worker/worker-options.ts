/** What callers of the worker give and get, with the defaults of what they leave out. */
import type { Call, CallOptions } from './channel.ts';
import type { ComponentSums, Params, Result } from './protocol.ts';
import type { Row } from './tensors.ts';

/** `model` is a directory or hub id; every other key has a default, see `loadDefaults`. */
export type LoadOptions = Partial<Omit<Params<'load'>, 'adapter'>> & {
  readonly model: string;
  readonly adapter?: (Partial<NonNullable<Params<'load'>['adapter']>> & { readonly r: number }) | null;
};

export const loadDefaults = {
  revision: null,
  dtype: 'float32',
  /** How updates are written into weights that are held in bfloat16; `nearest` loses most of them. */
  rounding: 'stochastic',
  device: 'auto',
  attention: 'auto',
  trustRemoteCode: false,
  quantization: null,
  gradientCheckpointing: false,
  torchCompile: false,
  /** Padded tokens of one micro-batch. */
  tokenBudget: null,
  layout: 'auto',
  /** `auto` is strict on CPU and seeded on GPU. */
  determinism: 'auto',
  /** Null follows determinism; true refuses a model or device where it does not hold. */
  strictSampling: null,
  threads: null,
  seed: 0,
  restoreTrainingState: false,
  digest: false,
  expectedDigest: null,
  blend: null,
} as const satisfies Omit<Params<'load'>, 'model' | 'adapter' | 'computeDtype'>;

/** peft's own defaults, but for the targets: every linear layer except the head. */
export const adapterDefaults = {
  alpha: 8,
  dropout: 0,
  targetModules: null,
  useRslora: false,
  useDora: false,
  modulesToSave: null,
} as const;

/** torch's own defaults, but for weight decay. */
export const adamwDefaults = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  eightBit: false,
} as const;
export const muonDefaults = {
  momentum: 0.95,
  nesterov: true,
  nsSteps: 5,
  weightDecay: 0,
  adjustLearningRate: 'match_rms_adamw',
} as const;

/** What is said in a chat. `learned`: the loss counts it; without it what an assistant says in a completion. */
export type Message = {
  readonly role: string;
  /** Null where there are only tool calls. */
  readonly content: string | null;
  readonly learned?: boolean;
  /** JSON of what else the chat template takes, such as `{"tool_calls": […]}`. */
  readonly fields?: string;
};

/** A prompt with the answer to learn (null: it is only asked), both as text or both as messages. */
export type Example = {
  readonly prompt: string | readonly Message[];
  readonly completion: string | readonly Message[] | null;
  /** JSON of the tools that the chat template is to name. */
  readonly tools?: string;
};

/** Ids, how many of them stand before the last answer, and which of them the loss counts (1 or 0 each). */
export type Encoded = {
  readonly ids: Int32Array;
  readonly promptLength: number;
  readonly learned: Uint8Array;
};
export type EncodeOptions = Partial<Omit<Params<'encode'>, 'examples'>>;
export type EncodeWarning = Result<'encode'>['warnings'][number];

/** Token ids with a weight a token for each loss component; absent means 0. Weight j belongs to the prediction of token j. */
export type TrainingSequence = {
  readonly ids: Row;
  readonly ce?: Row;
  readonly dft?: Row;
  readonly policyGradient?: Row;
  readonly advantages?: Row;
  readonly oldLogprobs?: Row;
  readonly referenceLogprobs?: Row;
  readonly match?: Row;
  /** k ids in the place of each token, end to end, and their log-probabilities in the distribution that `match` is about. */
  readonly targetIds?: Row;
  readonly targetLogprobs?: Row;
};

/** The likeliest ids in the place of each token, k a token, the likeliest first, and their log-probabilities; 0 at the first token. */
export type Top = { readonly k: number; readonly ids: Int32Array; readonly logprobs: Float32Array };

export const components = ['ce', 'dft', 'policyGradient', 'match'] as const;
export type Component = (typeof components)[number];

export type GradientOptions = CallOptions & {
  /** Global divisor of each component's loss; the default is the sum of its weights in this call (a mean over tokens). */
  readonly normalizers?: Partial<Record<Component, number>>;
  readonly clipLow?: number;
  readonly clipHigh?: number;
  /** Weight of the k3 estimate of KL(π‖reference); needs `referenceLogprobs`. */
  readonly klCoefficient?: number;
  /** Of `match`; by default forward, KL(given‖model). */
  readonly direction?: 'forward' | 'reverse';
  readonly dropoutSeed?: number;
  readonly returnLogprobs?: boolean;
  readonly returnEntropy?: boolean;
};

export type Gradients = {
  /** Σ components lossSum / normalizer: the number whose gradient was added. */
  readonly loss: number;
  readonly components: Partial<Record<Component, ComponentSums>>;
  readonly tokens: number;
  readonly paddedTokens: number;
  readonly microBatches: number;
  readonly logprobs: Float32Array[] | null;
  readonly entropy: Float32Array[] | null;
};

export type StepOptions = CallOptions & {
  readonly adamw: Partial<Params<'optimStep'>['adamw']> & { readonly learningRate: number };
  readonly muon?: Partial<NonNullable<Params<'optimStep'>['muon']>> & { readonly learningRate: number };
  readonly maxGradNorm?: number;
  /** Count the updates that rounding loses, see `updates` of the result. */
  readonly countUpdates?: boolean;
  /** The gradients to step on; the default is every `forwardBackward` since the last step. */
  readonly dependsOn?: readonly Call<Gradients>[];
};

export type GenerateOptions = CallOptions & {
  readonly maxNewTokens: number;
  /** One for each prompt; 32-bit. The default is the row's index. */
  readonly seeds?: readonly number[];
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  /** The default is the model's end-of-sequence ids. */
  readonly stopIds?: readonly number[];
  /** An answer ends once its text holds one of these; none by default. */
  readonly stopTexts?: readonly string[];
  readonly maxRows?: number;
};

export type Answer = {
  readonly ids: Int32Array;
  /** At temperature 1 without filters, whatever was sampled with. */
  readonly logprobs: Float32Array;
  /** `stop`: the last id is a stop id; `stop_text`: the text holds a stop text; `length`: cut at `maxNewTokens`. */
  readonly finishReason: FinishReason;
  /** Ids of what it says, without the stop id or stop text that ended it. */
  readonly said: Int32Array;
};

export type FinishReason = 'stop' | 'stop_text' | 'length';
