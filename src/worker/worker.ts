/** The worker's verbs with types people like: rows instead of flat tensors, defaults, errors. Any backend stands below. */
import { asCall, type Call, type CallOptions, type Channel } from './channel.ts';
import {
  answersOf,
  encodedRows,
  gradientParams,
  gradients,
  optionalPerToken,
  pack,
  packWeights,
  perToken,
  topPerToken,
  wireExample,
} from './flat-rows.ts';
import {
  decodeParts,
  encodeParts,
  type MessageLimits,
  promptParts,
  protocolLimits,
  rowParts,
  shiftIndex,
} from './parts.ts';
import type { ModelInfo, Params, Progress, Result } from './protocol.ts';
import { type Row, type Tensors, tensorOf } from './tensors.ts';
import {
  type Answer,
  adamwDefaults,
  adapterDefaults,
  type Encoded,
  type EncodeOptions,
  type EncodeWarning,
  type Example,
  type GenerateOptions,
  type GradientOptions,
  type Gradients,
  type LoadOptions,
  loadDefaults,
  muonDefaults,
  type StepOptions,
  type Top,
  type TrainingSequence,
} from './worker-options.ts';

export { completionOnly, withAnswer } from './flat-rows.ts';
export type * from './worker-options.ts';

/** A model under training in some backend. Calls run in order and may be sent back to back without awaiting. */
export class Worker {
  readonly #channel: Channel;
  readonly #most: MessageLimits;
  #sinceStep: number[] = [];
  #stopIds: readonly number[] = [];

  constructor(channel: Channel, most: MessageLimits = protocolLimits) {
    this.#channel = channel;
    this.#most = most;
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

  /** Ids of text or chat messages, the ids that end an answer under the template, and whether the template asked what day it is. */
  async encode(
    examples: readonly Example[],
    options: EncodeOptions & CallOptions = {},
  ): Promise<{ sequences: Encoded[]; warnings: EncodeWarning[]; stopIds: number[]; readsDate: boolean }> {
    const {
      maxLength = null,
      chatTemplate = null,
      templateOptions = {},
      splitSpecialTokens = true,
      date = null,
      ...call
    } = options;
    const sequences: Encoded[] = [];
    const warnings = new Map<string, EncodeWarning>();
    const stopIds = new Set<number>();
    const wire = examples.map(wireExample);
    const asked = { examples: wire, maxLength, chatTemplate, templateOptions, splitSpecialTokens, date };
    let readsDate = false;
    for (const { start, end } of encodeParts(asked, this.#most)) {
      const params = { ...asked, examples: wire.slice(start, end) };
      const { result, tensors } = await this.#channel.call('encode', params, {}, call).catch(error => {
        throw shiftIndex(error, start);
      });
      sequences.push(...encodedRows(tensors));
      for (const warning of result.warnings) mergeWarning(warnings, warning, start);
      for (const id of result.stopIds) stopIds.add(id);
      readsDate ||= result.readsDate;
    }
    const sorted = [...stopIds].sort((a, b) => a - b);
    return { sequences, warnings: [...warnings.values()], stopIds: sorted, readsDate };
  }

  /** Text of ids, for people: never train on it. */
  async decode(
    sequences: readonly Row[],
    options: { skipSpecialTokens?: boolean } & CallOptions = {},
  ): Promise<string[]> {
    const { skipSpecialTokens = true, ...call } = options;
    const texts: string[] = [];
    for (const { start, end } of decodeParts(sequences, this.#most)) {
      const packed = pack(sequences.slice(start, end));
      const { result } = await this.#channel.call('decode', { skipSpecialTokens }, packed, call);
      for (const text of result.texts) texts.push(text);
    }
    return texts;
  }

  /**
   * Log-probability (nats) of each token given those before it; 0 at the first token of a sequence. `weightsDigest` is of the weights
   * that gave them, null where the worker does not know it. `kept`: under the weights that `keep` holds. `other` is loaded for each request.
   * `starts`: from which token on, sequence by sequence; 0 before it. Neighbours that are equal up to there share the work of it.
   */
  async forward(
    sequences: readonly Row[],
    options: Partial<Params<'forward'>> & { readonly starts?: readonly number[] } & CallOptions = {},
  ): Promise<{
    logprobs: Float32Array[];
    entropy: Float32Array[] | null;
    top: Top[] | null;
    /** Of the distributions in the place of each token: KL(model‖other) and KL(other‖model), nats. */
    divergence: { to: Float32Array[]; from: Float32Array[] } | null;
    weightsDigest: string | null;
  }> {
    const { returnEntropy = false, topK = 0, kept = false, other = null, starts, ...call } = options;
    const params = { returnEntropy, topK, kept, other };
    const logprobs: Float32Array[] = [];
    const entropy: Float32Array[] = [];
    const top: Top[] = [];
    const [to, from]: [Float32Array[], Float32Array[]] = [[], []];
    const digests = new Set<string | null>();
    for (const { start, end } of rowParts(sequences, this.#most, Math.max(1, topK))) {
      const packed = pack(sequences.slice(start, end));
      const asked = starts && { starts: tensorOf('i32', starts.slice(start, end)) };
      const { result, tensors } = await this.#channel.call('forward', params, { ...packed, ...asked }, call);
      digests.add(result.weightsDigest);
      append(logprobs, perToken(tensors, 'logprobs', packed));
      append(entropy, optionalPerToken(tensors, 'entropy', packed));
      append(top, topPerToken(tensors, packed));
      append(to, optionalPerToken(tensors, 'klToOther', packed));
      append(from, optionalPerToken(tensors, 'klFromOther', packed));
    }
    return {
      logprobs,
      entropy: returnEntropy ? entropy : null,
      top: topK > 0 ? top : null,
      divergence: other === null ? null : { to, from },
      weightsDigest: onlyOne(digests),
    };
  }

  /** Keep a copy of the weights, or those of `model`, beside those that are trained; a `share` below 1 moves the copy that is there. */
  async keep(options: Partial<Params<'keep'>> & CallOptions = {}): Promise<Result<'keep'>> {
    const { model = null, revision = null, share = 1, ...call } = options;
    return (await this.#channel.call('keep', { model, revision, share }, {}, call)).result;
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
      countUpdates: options.countUpdates ?? false,
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
    const answers: Answer[] = [];
    await this.generateParts(prompts, options, part => {
      for (const [place, answer] of part) answers[place] = answer;
    });
    return answers;
  }

  /**
   * One answer to each prompt: `take` gets them, with the places of their prompts, in parts as they finish, in no order; what is finished
   * when an error or the signal ends the rest, too. Nothing is kept here. Returns the digest of the weights that gave them, null where
   * the worker does not know it.
   */
  async generateParts(
    prompts: readonly Row[],
    options: GenerateOptions,
    take: (part: readonly [place: number, answer: Answer][]) => void,
  ): Promise<{ weightsDigest: string | null }> {
    const seeds = options.seeds ?? prompts.map((_, i) => i);
    const params = {
      maxNewTokens: options.maxNewTokens,
      temperature: options.temperature ?? 1,
      topP: options.topP ?? 1,
      topK: options.topK ?? 0,
      stopIds: [...(options.stopIds ?? this.#stopIds)],
      stopTexts: [...(options.stopTexts ?? [])],
      maxRows: options.maxRows ?? null,
    };
    const digests = new Set<string | null>();
    let tokens = 0;
    for (const { start, end } of promptParts(prompts, options.maxNewTokens, this.#most)) {
      const own = seeds.slice(start, end === prompts.length ? undefined : end); // a seed too many is refused
      const packed = { ...pack(prompts.slice(start, end)), seeds: tensorOf('u32', own) };
      const before = tokens;
      const onProgress = (part: Progress) =>
        options.onProgress?.({
          done: start + part.done,
          total: prompts.length,
          tokens: before + part.tokens,
        });
      const onPart = (part: Tensors) => {
        const found = answersOf(part);
        if (found.length > 0) take(found.map(([row, answer]) => [start + row, answer]));
      };
      const call = { ...options, onProgress, onPart };
      const { result, tensors } = await this.#channel.call('generate', params, packed, call);
      onPart(tensors);
      digests.add(result.weightsDigest);
      tokens += result.newTokens;
    }
    return { weightsDigest: onlyOne(digests) };
  }

  /** Write a directory that did not exist; atomic. Errors: BAD_PARAMS (it exists), SAVE_FAILED. */
  async save(
    path: string,
    options: { kind?: Params<'save'>['kind']; stopIds?: readonly number[] } & CallOptions = {},
  ): Promise<Result<'save'>> {
    const { kind = 'weights', stopIds, ...call } = options;
    const params = { path, kind, stopIds: stopIds ? [...stopIds] : null };
    return (await this.#channel.call('save', params, {}, call)).result;
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

/** A call with all of them at once would be too long. */
function append<T>(list: T[], more: readonly T[] | null): void {
  for (const one of more ?? []) list.push(one);
}

/** Never the id of a request: a step that depends on it fails. */
const failedCall = 0;

/** Requests of one call may have found different weights only where somebody changed them in between. */
function onlyOne(digests: ReadonlySet<string | null>): string | null {
  const [first = null] = digests;
  return digests.size === 1 ? first : null;
}

function mergeWarning(warnings: Map<string, EncodeWarning>, warning: EncodeWarning, start: number): void {
  const earlier = warnings.get(warning.code);
  const firstIndex = earlier?.firstIndex ?? start + warning.firstIndex;
  warnings.set(warning.code, { ...warning, count: (earlier?.count ?? 0) + warning.count, firstIndex });
}
