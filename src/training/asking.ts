/** Ask weights for answers to training prompts: each is a function of weights, prompt and seed, and is sampled once. */
import type { TokenFile } from '../data/token-file.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { redrawIndex, type SamplingPlan, samplingSeeds } from '../plan/sampling-plan.ts';
import type { AnswerRecord } from '../run/records.ts';
import { AnswerStore, answerKey, type StoredAnswer } from '../store/answer-store.ts';
import { answersPath } from '../store/store.ts';
import { framedPrompts } from './framed-prompts.ts';
import { type Held, samplerNumerics, samplesStrictly } from './held.ts';
import { OtherWeightsError } from './place.ts';
import { samplerOptions } from './policy.ts';
import { faultOf } from './read-answers.ts';
import { type Run, timed } from './run.ts';
import type { Sampler } from './samplers.ts';
import type { Trainer, Weights } from './trainer.ts';

/** Sample number `samples[i]` (from 0) for example `examples[i]`; 8 bytes each, for there can be millions. */
export type Asked = { readonly examples: Uint32Array; readonly samples: Uint32Array };

/** `for`: the training that will read the answers. */
export type AskingOptions = {
  readonly weights: Weights;
  readonly for: string;
  readonly sampling: SamplingPlan;
};

/** Answers of one `decode`. */
const answersAtOnce = 256;
/** Prompts of one `generate`, which are held in memory; answers are stored as they come, whatever becomes of the rest. */
const promptsAtOnce = 8192;

/** One answer that is wanted, with the seed that makes it. */
type Wanted = { readonly seed: number; readonly prompt: Int32Array; readonly key: string };

export class Asking {
  readonly #trainer: Trainer;
  readonly #options: AskingOptions;
  readonly #store: AnswerStore;
  /** Framed prompts by example; null: those of the data are asked. */
  readonly #prompts: TokenFile | null;
  #held: Held | null = null;

  private constructor(
    trainer: Trainer,
    options: AskingOptions,
    { store, prompts }: { readonly store: AnswerStore; readonly prompts: TokenFile | null },
  ) {
    this.#trainer = trainer;
    this.#options = options;
    this.#store = store;
    this.#prompts = prompts;
  }

  static async of(trainer: Trainer, options: AskingOptions): Promise<Asking> {
    const digest = await trainer.digestOf(options.weights);
    const path = answersPath(trainer.run.store, answersKey(trainer.run, digest, options.sampling));
    const { frame, maxNewTokens } = options.sampling;
    const prompts =
      frame === undefined
        ? null
        : await framedPrompts(trainer.run, { name: options.for, frame, maxNewTokens });
    return new Asking(trainer, options, { store: new AnswerStore(path), prompts });
  }

  /** Where answers are missing and samplers give them: hold the weights there until `release`, so that the trainer can go on. */
  async holds({ examples, samples }: Asked, samplesPerPrompt: number): Promise<boolean> {
    if (!this.#trainer.run.samplers?.staysAlive) return false;
    const want = (i: number) =>
      this.#wanted(examples[i] as number, redrawIndex(samples[i] as number, 0, samplesPerPrompt));
    const missing = await this.#missing(
      Uint32Array.from(examples, (_, i) => i),
      want,
    );
    if (missing.length > 0) this.#held = await this.#trainer.hold(this.#options.weights);
    return this.#held !== null;
  }

  /** The samplers need no longer hold them. */
  release(): void {
    this.#held?.release();
    this.#held = null;
  }

  /** An answer to each, in order: unusable ones are drawn again where the plan says so. Once. */
  async *answers(asked: Asked, samplesPerPrompt: number): AsyncGenerator<AnswerRecord> {
    try {
      yield* this.#answers(asked, samplesPerPrompt);
    } finally {
      await this.#prompts?.close();
    }
  }

  async *#answers({ examples, samples }: Asked, samplesPerPrompt: number): AsyncGenerator<AnswerRecord> {
    const { run } = this.#trainer;
    const attempts = new Uint16Array(examples.length);
    const want = (index: number) => {
      const [example, sample, attempt] = [examples, samples, attempts].map(values => values[index] as number);
      return this.#wanted(
        example as number,
        redrawIndex(sample as number, attempt as number, samplesPerPrompt),
      );
    };
    const all = Uint32Array.from(examples, (_, index) => index);
    let open = all;
    for (let attempt = 0; open.length > 0; attempt++) {
      for (const index of open) attempts[index] = attempt;
      await this.#sampleMissing(open, want);
      if (attempt === this.#options.sampling.redraws) break;
      open = await this.#unusable(open, want);
    }
    for (const indices of chunks(all, answersAtOnce)) {
      const wanted = await Promise.all(indices.map(want));
      const found = wanted.map(({ key }) => this.#stored(key));
      const texts = await run.worker.decode(found.map(saidIn));
      for (const [i, index] of indices.entries()) {
        const example = examples[index] as number;
        const answer = found[i] as StoredAnswer;
        const end = answer.finishReason === 'stop_text' ? await endOf(run, example) : [];
        yield {
          id: run.data.idTextOf(example),
          example,
          checkpointStep: this.#options.weights.step,
          sample: samples[index] as number,
          attempt: attempts[index] as number,
          seed: (wanted[i] as Wanted).seed,
          ids: [...answer.ids, ...end],
          finishReason: answer.finishReason,
          text: texts[i] ?? '',
        };
      }
    }
  }

  async #wanted(example: number, sampleIndex: number): Promise<Wanted> {
    const { run } = this.#trainer;
    const row = await (this.#prompts?.read(example) ??
      run.data.tokens.read(run.data.rows[example] as number));
    const prompt = row.ids.slice(0, row.promptLength);
    const seed = samplingSeeds(run.config.seed)(
      this.#options.weights.step,
      run.data.idOf(example),
      sampleIndex,
    );
    return { seed, prompt, key: answerKey(prompt, seed) };
  }

  #stored(key: string): StoredAnswer {
    const answer = this.#store.get(key);
    if (!answer) throw new Error('an answer is missing after generation');
    return answer;
  }

  async #unusable(
    open: Uint32Array,
    want: (index: number) => Promise<Wanted>,
  ): Promise<Uint32Array<ArrayBuffer>> {
    const unusable: number[] = [];
    for (const index of open) {
      const { key } = await want(index);
      if (faultOf(this.#trainer.run, this.#stored(key)) !== null) unusable.push(index);
    }
    return Uint32Array.from(unusable);
  }

  async #sampleMissing(open: Uint32Array, want: (index: number) => Promise<Wanted>): Promise<void> {
    const { run } = this.#trainer;
    const { weights } = this.#options;
    const missing = await this.#missing(open, want);
    const place = weights.training === 'base' ? 'the base' : `${weights.training} at step ${weights.step}`;
    if (missing.length < open.length)
      run.progress.say(
        `${place}: ${open.length - missing.length} of ${open.length} answers are in the store`,
      );
    if (missing.length === 0) return;
    const { sampler, release } = this.#held ?? (await this.#trainer.hold(weights));
    const line = { unit: `answers of ${place}`, kind: 'answer', training: this.#options.for } as const;
    const work = async () => {
      let [done, tokens] = [0, 0];
      for (const indices of chunks(Uint32Array.from(missing), promptsAtOnce)) {
        run.signal.throwIfAborted();
        const report = (more: number, count: number) =>
          run.progress.update(`answers of ${place}`, done + more, missing.length, count);
        tokens += await this.#sample(sampler, await Promise.all(indices.map(want)), report);
        done += indices.length;
      }
      return { value: undefined, tokens };
    };
    await timed(run, line, work).finally(this.#held === null ? release : undefined);
  }

  async #missing(open: Uint32Array, want: (index: number) => Promise<Wanted>): Promise<number[]> {
    const missing: number[] = [];
    for (const index of open) if (!this.#store.has((await want(index)).key)) missing.push(index);
    return missing;
  }

  async #sample(
    sampler: Sampler,
    wanted: readonly Wanted[],
    report: (done: number, tokens: number) => void,
  ): Promise<number> {
    const { run } = this.#trainer;
    const { maxNewTokens, temperature, topP, stop } = this.#options.sampling;
    const taken: string[] = [];
    let [seen, sampled] = [0, 0];
    const asked = sampler.generateParts(
      wanted.map(({ prompt }) => prompt),
      {
        ...samplerOptions(run),
        seeds: wanted.map(({ seed }) => seed),
        maxNewTokens,
        temperature,
        topP,
        stopTexts: stop,
        onProgress: ({ done, tokens }) => {
          report(done, tokens - seen);
          seen = tokens;
        },
      },
      part => {
        const entries = part.map(([place, { ids, said, finishReason }]) => {
          sampled += ids.length;
          const kept = finishReason === 'stop_text' ? said : ids;
          return [(wanted[place] as Wanted).key, { ids: [...kept], finishReason }] as const;
        });
        this.#store.add(new Map(entries));
        for (const [key] of entries) taken.push(key);
      },
    );
    await asked.catch(error => {
      if (error instanceof OtherWeightsError && taken.length > 0) this.#store.forget(taken);
      throw error;
    });
    return sampled;
  }
}

/** Everything that an answer depends on besides its prompt and seed. */
function answersKey(
  run: Run,
  weightsDigest: string,
  { temperature, topP, maxNewTokens, stop }: SamplingPlan,
): string {
  const { stopIds, numerics, config } = run;
  // Off strict sampling the last bits depend on what is sampled beside it.
  const { backend, max_rows } = config.sampler;
  const isStrict = samplesStrictly(run);
  const batch = isStrict ? null : max_rows;
  return sha256OfRecord({
    weightsDigest,
    temperature,
    topP,
    maxNewTokens,
    stopIds,
    stopTexts: stop,
    engine: backend,
    ...numerics,
    ...samplerNumerics(run),
    strict: isStrict,
    batch,
  });
}

/** What it says: the stop id is no part of it, whether or not the tokenizer calls it special. */
function saidIn({ ids, finishReason }: StoredAnswer): readonly number[] {
  return finishReason === 'stop' ? ids.slice(0, -1) : ids;
}

/** The id that ends the gold answer of an example, so that an answer which a stop text ended can end alike; none where there is none. */
async function endOf(run: Run, example: number): Promise<number[]> {
  const { ids } = await run.data.tokens.read(run.data.rows[example] as number);
  return run.stopIds.includes(ids.at(-1) ?? -1) ? [...ids.slice(-1)] : [];
}

function chunks(indices: Uint32Array, size: number): number[][] {
  const count = Math.ceil(indices.length / size);
  return Array.from({ length: count }, (_, i) => [...indices.subarray(i * size, (i + 1) * size)]);
}
