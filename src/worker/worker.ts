/** The worker's verbs with types people like: rows instead of flat tensors, defaults, errors. Any backend stands below. */
import { asCall, type Call, type CallOptions, type Channel } from './channel.ts';
import type { ComponentSums, Example, ModelInfo, Params, Result } from './protocol.ts';
import { packRows, type Row, unpackRows } from './ragged.ts';
import { type Tensor, type Tensors, tensorOf } from './tensor.ts';
import { WorkerError } from './worker-error.ts';

/** `model` is a directory or hub id; every other key has a default, see `loadDefaults`. */
export type LoadOptions = Partial<Omit<Params<'load'>, 'adapter'>> & {
  readonly model: string;
  readonly adapter?: (Partial<NonNullable<Params<'load'>['adapter']>> & { readonly r: number }) | null;
};

export const loadDefaults = {
  revision: null,
  dtype: 'float32',
  device: 'auto',
  attention: 'sdpa',
  trustRemoteCode: false,
  gradientCheckpointing: false,
  /** Padded tokens of one micro-batch. */
  tokenBudget: 2048,
  layout: 'auto',
  /** `auto` is strict on CPU and seeded on GPU. */
  determinism: 'auto',
  threads: null,
  seed: 0,
  restoreTrainingState: false,
  digest: false,
} as const satisfies Omit<Params<'load'>, 'model' | 'adapter' | 'computeDtype'>;

/** peft's own defaults, but for the targets: every linear layer except the head. */
export const adapterDefaults = {
  alpha: 8,
  dropout: 0,
  targetModules: null,
  useRslora: false,
  modulesToSave: null,
} as const;

/** torch's own defaults, but for weight decay. */
export const adamwDefaults = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const;
export const muonDefaults = {
  momentum: 0.95,
  nesterov: true,
  nsSteps: 5,
  weightDecay: 0,
  adjustLearningRate: 'match_rms_adamw',
} as const;

/** Ids with the number of them that belong to the prompt. */
export type Encoded = { readonly ids: Int32Array; readonly promptLength: number };
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
};

const components = ['ce', 'dft', 'policyGradient'] as const;
type Component = (typeof components)[number];

export type GradientOptions = CallOptions & {
  /** Global divisor of each component's loss; the default is the sum of its weights in this call (a mean over tokens). */
  readonly normalizers?: Partial<Record<Component, number>>;
  readonly clipLow?: number;
  readonly clipHigh?: number;
  /** Weight of the k3 estimate of KL(π‖reference); needs `referenceLogprobs`. */
  readonly klCoefficient?: number;
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
  readonly maxRows?: number;
};

export type Answer = {
  readonly ids: Int32Array;
  /** At temperature 1 without filters, whatever was sampled with. */
  readonly logprobs: Float32Array;
  /** `stop`: the last id is a stop id; `length`: cut at `maxNewTokens`. */
  readonly finishReason: 'stop' | 'length';
};

/** A model under training in some backend. Calls run in order and may be sent back to back without awaiting. */
export class Worker {
  readonly #channel: Channel;
  #sinceStep: number[] = [];
  #stopIds: readonly number[] = [];

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Errors: NOT_FOUND, BAD_MODEL, BAD_PARAMS, OOM. Replaces the model loaded before, and drops that even when it fails. */
  async load(options: LoadOptions, call: CallOptions = {}): Promise<ModelInfo> {
    const seed = options.seed ?? loadDefaults.seed;
    const adapter = options.adapter ? { seed, ...adapterDefaults, ...options.adapter } : null;
    const computeDtype = options.dtype ?? loadDefaults.dtype;
    const params = { ...loadDefaults, computeDtype, ...options, adapter };
    this.#sinceStep = []; // before the call: gradients sent behind it are of the new model
    const { result } = await this.#channel.call('load', params, {}, call);
    this.#stopIds = result.eosTokenIds;
    return result;
  }

  /** Ids of text or chat messages. Sends a few hundred examples at a time. */
  async encode(
    examples: readonly Example[],
    options: Partial<Omit<Params<'encode'>, 'examples'>> & CallOptions = {},
  ): Promise<{ sequences: Encoded[]; warnings: EncodeWarning[] }> {
    const { maxLength = null, chatTemplate = null, templateOptions = {}, ...call } = options;
    const sequences: Encoded[] = [];
    const warnings = new Map<string, EncodeWarning>();
    for (let start = 0; start < examples.length; start += encodeChunk) {
      const chunk = examples.slice(start, start + encodeChunk);
      const params = { examples: chunk, maxLength, chatTemplate, templateOptions };
      const { result, tensors } = await this.#channel.call('encode', params, {}, call).catch(error => {
        throw shiftIndex(error, start);
      });
      const promptLengths = required(tensors, 'promptLengths').data;
      rows(tensors, 'ids').forEach((ids, i) => {
        sequences.push({ ids: ids as Int32Array, promptLength: promptLengths[i] ?? 0 });
      });
      for (const warning of result.warnings) mergeWarning(warnings, warning, start);
    }
    return { sequences, warnings: [...warnings.values()] };
  }

  /** Text of ids, for people: never train on it. */
  async decode(
    sequences: readonly Row[],
    options: { skipSpecialTokens?: boolean } & CallOptions = {},
  ): Promise<string[]> {
    const { skipSpecialTokens = true, ...call } = options;
    const { result } = await this.#channel.call('decode', { skipSpecialTokens }, pack(sequences), call);
    return result.texts;
  }

  /** Log-probability (nats) of each token given those before it; 0 at the first token of a sequence. */
  async forward(
    sequences: readonly Row[],
    options: { returnEntropy?: boolean } & CallOptions = {},
  ): Promise<{ logprobs: Float32Array[]; entropy: Float32Array[] | null }> {
    const { returnEntropy = false, ...call } = options;
    const packed = pack(sequences);
    const { tensors } = await this.#channel.call('forward', { returnEntropy }, packed, call);
    return {
      logprobs: perToken(tensors, 'logprobs', packed),
      entropy: optionalPerToken(tensors, 'entropy', packed),
    };
  }

  /**
   * Add the gradient of the weighted losses. Errors: BAD_PARAMS, NON_FINITE (gradients are cleared), OOM. Where it fails, the next step
   * with the default `dependsOn` fails too: a step is never taken on half of what was asked.
   */
  forwardBackward(batch: readonly TrainingSequence[], options: GradientOptions = {}): Call<Gradients> {
    const call = this.#sendGradients(batch, options);
    const place = this.#sinceStep.push(call.id) - 1;
    const since = this.#sinceStep;
    call.catch(() => {
      since[place] = failedCall; // it may yet have run: after a time-out the worker can hold its gradients
    });
    return call;
  }

  #sendGradients(batch: readonly TrainingSequence[], options: GradientOptions): Call<Gradients> {
    try {
      const tensors = { ...pack(batch.map(({ ids }) => ids)), ...packWeights(batch) };
      const params = gradientParams(tensors, options);
      const call = this.#channel.call('forwardBackward', params, tensors, options);
      return asCall(
        call.id,
        call.then(({ result, tensors: out }) => gradients(result, params, out, tensors)),
      );
    } catch (error) {
      return asCall(failedCall, Promise.reject(error));
    }
  }

  /** One optimiser step. Errors: DEPENDENCY_FAILED, NON_FINITE; weights are then unchanged and gradients cleared. */
  optimStep(options: StepOptions): Call<Result<'optimStep'>> {
    const dependsOn = options.dependsOn?.map(({ id }) => id) ?? this.#sinceStep;
    const params = {
      dependsOn: dependsOn.length > 0 ? dependsOn : [failedCall], // no gradients: the worker refuses, and says so
      adamw: { ...adamwDefaults, ...options.adamw },
      muon: options.muon ? { ...muonDefaults, ...options.muon } : null,
      maxGradNorm: options.maxGradNorm ?? null,
    };
    this.#sinceStep = [];
    const call = this.#channel.call('optimStep', params, {}, options);
    return asCall(
      call.id,
      call.then(({ result }) => result),
    );
  }

  /** One answer to each prompt, in order. */
  async generate(prompts: readonly Row[], options: GenerateOptions): Promise<Answer[]> {
    const seeds = options.seeds ?? prompts.map((_, i) => i);
    const params = {
      maxNewTokens: options.maxNewTokens,
      temperature: options.temperature ?? 1,
      topP: options.topP ?? 1,
      topK: options.topK ?? 0,
      stopIds: [...(options.stopIds ?? this.#stopIds)],
      maxRows: options.maxRows ?? null,
    };
    const request = { ...pack(prompts), seeds: tensorOf('u32', seeds) };
    const { tensors } = await this.#channel.call('generate', params, request, options);
    const finished = required(tensors, 'finished').data;
    const logprobs = rows(tensors, 'logprobs');
    return rows(tensors, 'ids').map((ids, i) => ({
      ids: ids as Int32Array,
      logprobs: logprobs[i] as Float32Array,
      finishReason: finished[i] === 1 ? 'stop' : 'length',
    }));
  }

  /** Write a directory that did not exist; atomic. Errors: BAD_PARAMS (it exists), SAVE_FAILED. */
  async save(
    path: string,
    options: { kind?: Params<'save'>['kind'] } & CallOptions = {},
  ): Promise<Result<'save'>> {
    const { kind = 'weights', ...call } = options;
    return (await this.#channel.call('save', { path, kind }, {}, call)).result;
  }

  /** `digest` hashes all weights: a second a gigabyte. */
  async status({
    digest = false,
    ...call
  }: { digest?: boolean } & CallOptions = {}): Promise<Result<'status'>> {
    return (await this.#channel.call('status', { digest }, {}, call)).result;
  }

  /** End the backend. Idempotent; pending calls reject with CLOSED. */
  close(): Promise<void> {
    return this.#channel.close();
  }
}

/** Never the id of a request: a step that depends on it fails. */
const failedCall = 0;

/** Cross-entropy on the completion, nothing on the prompt. */
export function completionOnly({ ids, promptLength }: Encoded): TrainingSequence {
  return { ids, ce: Float32Array.from(ids, (_, j) => (j < promptLength ? 0 : 1)) };
}

const encodeChunk = 256;

/** The worker counts from the start of its chunk. */
function shiftIndex(error: unknown, start: number): unknown {
  if (!(error instanceof WorkerError) || start === 0) return error;
  const { code, verb, type, trace, data, reason } = error;
  const index = typeof data?.index === 'number' ? { index: data.index + start } : {};
  return new WorkerError(code, `counting from example ${start}: ${reason}`, {
    verb,
    type,
    trace,
    data: { ...data, ...index },
    cause: error,
  });
}

function mergeWarning(warnings: Map<string, EncodeWarning>, warning: EncodeWarning, start: number): void {
  const earlier = warnings.get(warning.code);
  const firstIndex = earlier?.firstIndex ?? start + warning.firstIndex;
  warnings.set(warning.code, { ...warning, count: (earlier?.count ?? 0) + warning.count, firstIndex });
}

function pack(sequences: readonly Row[]): { ids: Tensor; offsets: Tensor } {
  const { values, offsets } = packRows('i32', sequences);
  return { ids: values, offsets };
}

const weightTensors = {
  ceWeights: 'ce',
  dftWeights: 'dft',
  policyGradientWeights: 'policyGradient',
  advantages: 'advantages',
  oldLogprobs: 'oldLogprobs',
  referenceLogprobs: 'referenceLogprobs',
} as const;

/** A tensor for every kind of number that some sequence has; sequences without it count as 0. */
function packWeights(batch: readonly TrainingSequence[]): Tensors {
  const tensors: Record<string, Tensor> = {};
  for (const [name, key] of Object.entries(weightTensors)) {
    if (!batch.some(sequence => sequence[key])) continue;
    const weights = batch.map((sequence, i) => {
      const row = sequence[key] ?? new Float32Array(sequence.ids.length);
      if (row.length === sequence.ids.length) return row;
      const found = `sequence ${i} has ${sequence.ids.length} ids but ${row.length} values of ${key}`;
      throw new WorkerError('BAD_PARAMS', found, { verb: 'forwardBackward' });
    });
    tensors[name] = packRows('f32', weights).values;
  }
  return tensors;
}

function gradientParams(tensors: Tensors, options: GradientOptions): Params<'forwardBackward'> {
  const component = (name: Component) => {
    const weights = tensors[`${name}Weights`];
    if (!weights) return null;
    const normalizer = options.normalizers?.[name] ?? sum(weights.data as Float32Array);
    if (normalizer > 0) return { normalizer };
    const found = `the weights of ${name} sum to ${normalizer}: nothing is to be learnt, or give normalizers.${name}`;
    throw new WorkerError('BAD_PARAMS', found, { verb: 'forwardBackward' });
  };
  const policyGradient = component('policyGradient');
  const { clipLow = null, clipHigh = null, klCoefficient = 0 } = options;
  return {
    ce: component('ce'),
    dft: component('dft'),
    policyGradient: policyGradient && { ...policyGradient, clipLow, clipHigh, klCoefficient },
    dropoutSeed: options.dropoutSeed ?? null,
    returnLogprobs: options.returnLogprobs ?? false,
    returnEntropy: options.returnEntropy ?? false,
  };
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0);
}

function gradients(
  result: Result<'forwardBackward'>,
  params: Params<'forwardBackward'>,
  out: Tensors,
  sent: { ids: Tensor; offsets: Tensor },
): Gradients {
  const { tokens, paddedTokens, microBatches } = result;
  const sums: Gradients['components'] = {};
  let loss = 0;
  for (const name of components) {
    const [found, given] = [result[name], params[name]];
    if (!found || !given) continue;
    sums[name] = found;
    loss += found.lossSum / given.normalizer;
  }
  const logprobs = optionalPerToken(out, 'logprobs', sent);
  const entropy = optionalPerToken(out, 'entropy', sent);
  return { loss, components: sums, tokens, paddedTokens, microBatches, logprobs, entropy };
}

function required(tensors: Tensors, name: string): Tensor {
  const tensor = tensors[name];
  if (!tensor) throw new WorkerError('UNSERIALIZABLE', `tensor ${name} is missing in the reply`);
  return tensor;
}

function rows(tensors: Tensors, name: string) {
  return unpackRows(required(tensors, name).data, required(tensors, 'offsets').data);
}

function perToken(tensors: Tensors, name: string, { offsets }: { offsets: Tensor }): Float32Array[] {
  return unpackRows(required(tensors, name).data as Float32Array, offsets.data) as Float32Array[];
}

function optionalPerToken(tensors: Tensors, name: string, sent: { offsets: Tensor }): Float32Array[] | null {
  return tensors[name] ? perToken(tensors, name, sent) : null;
}
