/** The verbs on the toy's model: what py_worker/verbs.py is to the PyTorch worker. */
import type { Params, Result, VerbName } from '../../../src/worker/protocol.ts';
import { packRows, type Tensors, tensorOf } from '../../../src/worker/tensors.ts';
import {
  type AdamwState,
  adamwStep,
  checkHyperparameters,
  clipGradient,
  countUpdates,
  gradientNorm,
  newAdamw,
} from './adamw.ts';
import type { Bigram } from './bigram.ts';
import {
  data,
  maxPositions,
  readPrompts,
  readRows,
  readSequences,
  readStarts,
  readWeights,
} from './checks.ts';
import { encodeExamples } from './encode.ts';
import {
  blendWeights,
  damaged,
  loadTrainingState,
  loadWeights,
  requireAsSaved,
  saveModel,
  weightsDigest,
} from './files.ts';
import type { Component } from './losses.ts';
import { refuse } from './refuse.ts';
import { packAnswers, sampler, type ToyAnswer } from './sample.ts';
import { divergences, score } from './score.ts';
import { bosId, detokenize, eosId, padId, vocabSize } from './tokens.ts';
import { type Accumulation, accumulateBatch, noLoss } from './train.ts';

/** The running request as its verb sees it. */
export type Job = {
  readonly id: number;
  /** Throws CANCELLED when the client has given up. */
  check(): void;
  /** Let the client in, then `check`. */
  pause(): Promise<void>;
  progress(done: number, total: number, tokens: number): void;
  /** Send a part of the result. */
  part(tensors: Tensors): void;
};

export type Outcome<V extends VerbName> = { readonly result: Result<V>; readonly tensors?: Tensors };
type Run<V extends VerbName> = (
  params: Params<V>,
  tensors: Tensors,
  job: Job,
) => Outcome<V> | Promise<Outcome<V>>;

type Loaded = {
  readonly model: Bigram;
  adamw: AdamwState;
  steps: number;
  kept: Float32Array | null;
  readonly params: Params<'load'>;
};

/** What a CPU takes where nothing is asked for. */
const cpuTokenBudget = 2048;

/** Tokens sampled between two looks at whether the request is cancelled. */
const pauseTokens = 256;
/** Answers of a part. */
const partAnswers = 64;

export class Session {
  #loaded: Loaded | null = null;
  #digest: string | null = null;
  #gradient: Float64Array | null = null;
  /** The requests whose gradients wait for a step. */
  #gradientsOf: number[] = [];

  readonly #verbs: { readonly [V in VerbName]: Run<V> } = {
    load: params => this.#load(params),
    encode: params => this.#encode(params),
    decode: (params, tensors) => this.#decode(params, tensors),
    forward: (params, tensors) => this.#forward(params, tensors),
    keep: params => this.#keep(params),
    forwardBackward: (params, tensors, job) => this.#forwardBackward(params, tensors, job),
    optimStep: params => this.#optimStep(params),
    generate: (params, tensors, job) => this.#generate(params, tensors, job),
    save: params => this.#save(params),
    status: params => this.#status(params),
  };

  /** Whatever a verb throws, the gradients of a failed `forwardBackward` or `optimStep` are gone. */
  async run<V extends VerbName>(verb: V, params: Params<V>, tensors: Tensors, job: Job): Promise<Outcome<V>> {
    try {
      job.check();
      return await this.#verbs[verb](params, tensors, job);
    } catch (error) {
      if (verb === 'forwardBackward' || verb === 'optimStep') this.#dropGradients();
      throw error;
    }
  }

  #model(): Loaded {
    if (this.#loaded) return this.#loaded;
    throw refuse('NO_MODEL', 'no model is loaded');
  }

  #load(params: Params<'load'>): Outcome<'load'> {
    this.#loaded = null;
    this.#digest = null;
    this.#dropGradients();
    checkLoad(params);
    const { expectedDigest } = params;
    if (params.restoreTrainingState || expectedDigest !== null) requireAsSaved(params.model, expectedDigest);
    const weights = loadWeights(params.model, params.revision);
    const digest = params.digest || expectedDigest !== null ? weightsDigest(weights) : null;
    if (expectedDigest !== null && digest !== expectedDigest)
      throw damaged(params.model, `weights ${digest}`, `weights ${expectedDigest}`);
    if (params.blend !== null) blendWeights(weights, params.blend);
    const state = params.restoreTrainingState ? loadTrainingState(params.model) : null;
    const { steps, adamw, kept } = state ?? { steps: 0, adamw: newAdamw(weights.length), kept: null };
    this.#loaded = { model: { weights, known: [] }, adamw, steps, kept, params };
    this.#digest = digest && weightsDigest(weights);
    return { result: this.#describe(this.#loaded) };
  }

  #encode(params: Params<'encode'>): Outcome<'encode'> {
    this.#model();
    const { sequences, ...said } = encodeExamples(params);
    const promptLengths = tensorOf(
      'i32',
      sequences.map(({ promptLength }) => promptLength),
    );
    const { values: ids, offsets } = packRows(
      'i32',
      sequences.map(sequence => sequence.ids),
    );
    const { values: learned } = packRows(
      'u8',
      sequences.map(sequence => sequence.learned),
    );
    return { result: said, tensors: { ids, offsets, promptLengths, learned } };
  }

  #decode({ skipSpecialTokens }: Params<'decode'>, tensors: Tensors): Outcome<'decode'> {
    this.#model();
    return { result: { texts: readRows(tensors).map(ids => detokenize(ids, skipSpecialTokens)) } };
  }

  #forward({ returnEntropy, topK, kept, other }: Params<'forward'>, tensors: Tensors): Outcome<'forward'> {
    const loaded = this.#model();
    if (kept && loaded.kept === null) throw refuse('BAD_PARAMS', 'kept: nothing is kept; ask `keep` first');
    const model = kept && loaded.kept ? { weights: loaded.kept, known: [] } : loaded.model;
    const scores = score(model, readSequences(tensors), { starts: readStarts(tensors), returnEntropy, topK });
    const weightsDigest = kept ? null : this.#digest;
    const against = other && { weights: loadWeights(other.model, other.revision), known: [] };
    const divergence = against && divergences([model, against], readSequences(tensors));
    return {
      result: { tokens: data(tensors, 'ids').length, weightsDigest },
      tensors: { ...scores, ...divergence },
    };
  }

  #keep({ model, revision, share }: Params<'keep'>): Outcome<'keep'> {
    const loaded = this.#model();
    const { kept, model: own } = loaded;
    if (share !== 1 && model !== null)
      throw refuse('BAD_PARAMS', 'share must be 1 with a model: nothing is moved towards another one');
    if (share !== 1 && kept === null)
      throw refuse('BAD_PARAMS', 'nothing is kept that could be moved; keep with share 1 first');
    const from = model === null ? own.weights : loadWeights(model, revision);
    loaded.kept = from.map((weight, i) => (1 - share) * (kept?.[i] ?? 0) + share * weight);
    return { result: { bytes: loaded.kept.byteLength } };
  }

  async #forwardBackward(
    params: Params<'forwardBackward'>,
    tensors: Tensors,
    job: Job,
  ): Promise<Outcome<'forwardBackward'>> {
    const { model, params: loadParams } = this.#model();
    const sequences = readSequences(tensors);
    const weights = readWeights(params, tensors);
    this.#gradient ??= new Float64Array(model.weights.length);
    const into: Accumulation = { params, tensors, weights, gradient: this.#gradient, sums: {} };
    const isWhole = params.returnLogprobs || params.returnEntropy;
    const split = { tokenBudget: loadParams.tokenBudget ?? cpuTokenBudget, isWhole, pause: job.pause };
    const { tokens, microBatches } = await accumulateBatch(model, sequences, into, split);
    this.#gradientsOf.push(job.id);
    const sums = (component: Component) => params[component] && (into.sums[component] ?? noLoss);
    const losses = {
      ce: sums('ce'),
      dft: sums('dft'),
      policyGradient: sums('policyGradient'),
      match: sums('match'),
    };
    const result = { ...losses, tokens, paddedTokens: tokens, microBatches };
    if (!isWhole) return { result };
    const { logprobs, ...entropy } = score(model, sequences, { returnEntropy: params.returnEntropy });
    return { result, tensors: { ...entropy, ...(params.returnLogprobs && { logprobs }) } };
  }

  #optimStep(params: Params<'optimStep'>): Outcome<'optimStep'> {
    const loaded = this.#model();
    this.#checkDependencies(params.dependsOn);
    checkHyperparameters(params);
    const gradient = this.#gradient ?? new Float64Array(loaded.model.weights.length);
    const gradNorm = gradientNorm(gradient);
    if (params.maxGradNorm !== null) clipGradient(gradient, gradNorm, params.maxGradNorm);
    const before = loaded.model.weights.slice();
    loaded.adamw = adamwStep({ weights: loaded.model.weights, gradient }, loaded.adamw, params.adamw);
    const updates = params.countUpdates ? countUpdates(before, loaded.model.weights, gradient) : null;
    loaded.model.known.length = 0;
    loaded.steps += 1;
    this.#digest = null;
    this.#dropGradients();
    return { result: { gradNorm, step: loaded.steps, updates } };
  }

  #checkDependencies(dependsOn: readonly number[]): void {
    const [asked, held] = [new Set(dependsOn), new Set(this.#gradientsOf)];
    if (asked.size === held.size && [...asked].every(id => held.has(id))) return;
    const found = `it depends on requests ${[...asked]}, but the gradients held are of [${[...held]}]`;
    throw refuse(
      'DEPENDENCY_FAILED',
      `${found}: one failed, was cancelled or is unknown; gradients are cleared`,
    );
  }

  async #generate(params: Params<'generate'>, tensors: Tensors, job: Job): Promise<Outcome<'generate'>> {
    const { model } = this.#model();
    const prompts = readPrompts(params, tensors);
    const seeds = data(tensors, 'seeds');
    const sample = sampler(model, params);
    const answers = new Map<number, ToyAnswer>();
    const send = () => {
      if (answers.size > 0) job.part(packAnswers(answers, params));
      answers.clear();
    };
    let [tokens, pausedAt] = [0, 0];
    // Last prompts first: nobody may take the order of answers for that of prompts.
    for (const i of [...prompts.keys()].reverse()) {
      const answer = sample(prompts[i] as Int32Array, seeds[i] ?? 0);
      answers.set(i, answer);
      tokens += answer.ids.length;
      job.progress(prompts.length - i, prompts.length, tokens);
      if (answers.size === partAnswers) send();
      if (tokens - pausedAt < pauseTokens) continue;
      await job.pause().catch(error => {
        send();
        throw error;
      });
      pausedAt = tokens;
    }
    return {
      result: { newTokens: tokens, weightsDigest: this.#digest },
      tensors: packAnswers(answers, params),
    };
  }

  #save({ path, kind }: Params<'save'>): Outcome<'save'> {
    const { model, steps, adamw, kept } = this.#model();
    const result = saveModel(path, model.weights, kind === 'trainingState' ? { steps, adamw, kept } : null);
    this.#digest = result.weightsDigest;
    return { result };
  }

  #status({ digest }: Params<'status'>): Outcome<'status'> {
    if (digest) this.#digest ??= weightsDigest(this.#model().model.weights);
    const residentBytes = process.memoryUsage.rss();
    const result = {
      pid: process.pid,
      versions: { node: process.versions.node },
      threads: 1,
      residentBytes,
      peakResidentBytes: residentBytes,
      deviceName: 'cpu',
      deviceTotalBytes: 0,
      devicePeakBytes: 0,
      determinism: {},
      model: this.#loaded && this.#describe(this.#loaded),
    };
    return { result };
  }

  #describe({ model, steps, params }: Loaded): Result<'load'> {
    return {
      architecture: 'ToyBigram',
      parameterCount: model.weights.length,
      trainableParameterCount: model.weights.length,
      vocabSize,
      maxPositions,
      eosTokenIds: [eosId],
      bosTokenId: bosId,
      padTokenId: padId,
      hasChatTemplate: true,
      dtype: 'float32',
      computeDtype: 'float32',
      device: 'cpu',
      attention: 'none',
      layout: params.layout === 'pack' ? 'pack' : 'bucket',
      tokenBudget: params.tokenBudget ?? cpuTokenBudget,
      gradientCheckpointing: params.gradientCheckpointing ?? true,
      torchCompile: false,
      strictSampling: true,
      optimizerSteps: steps,
      weightsDigest: this.#digest,
      filesDigest: 'toy',
      notes: [],
    };
  }

  #dropGradients(): void {
    this.#gradient = null;
    this.#gradientsOf = [];
  }
}

/** What the toy cannot be: it says so rather than pretending. */
function checkLoad({ device, dtype, adapter, quantization }: Params<'load'>): void {
  if (device !== 'auto' && device !== 'cpu')
    throw refuse('BAD_PARAMS', `device is ${device}: the toy runs on cpu`);
  if (dtype !== 'float32') throw refuse('BAD_PARAMS', `dtype is ${dtype}: the toy's weights are float32`);
  if (quantization) throw refuse('BAD_PARAMS', 'quantization must be null: the toy has no 4 bits');
  if (adapter) throw refuse('BAD_PARAMS', 'adapter must be null: the toy has none');
}
