/** The answers of a checkpoint to the prompts that were drawn for it: from the store where they are known, else generated. */
import { existsSync } from 'node:fs';
import { sha256OfFile, writeFileAtomic } from '../files/atomic.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { AnswerKey } from '../plan/answer-set.ts';
import { redrawIndex, samplingSeeds } from '../plan/seeds.ts';
import type { AnswerRecord } from '../run/records.ts';
import { type AnswerStore, answerKey, openAnswerStore, type StoredAnswer } from '../store/answer-store.ts';
import { answersPath, stepName } from '../store/store.ts';
import { type RunContext, timed } from './run-context.ts';
import { type Stage, standAt, standingDigest } from './train.ts';

/** Prompts of one `generate`: what a crash or Ctrl-C can cost. */
const promptsAtOnce = 256;

/** One answer that is wanted, with the seed that makes it. */
type Wanted = AnswerKey & { readonly seed: number; readonly prompt: Int32Array; readonly key: string };

/** Write answers/…-step-….jsonl with every answer drawn at this checkpoint. */
export async function answerAt(run: RunContext, stage: Stage, step: number): Promise<void> {
  const { plan, answers } = run;
  if (answers === null) throw new Error('the plan has no answers');
  await writeAnswers(
    run,
    stage,
    step,
    [...answers.at(plan.checkpointSteps.indexOf(step))],
    answersFile(stage.name, step),
  );
}

/** Answers to `keys` by the stage at `step`, into a file of the run; a file whose digest is wrong is made again. */
export async function writeAnswers(
  run: RunContext,
  stage: Stage,
  step: number,
  keys: AnswerKey[],
  file: string,
): Promise<void> {
  const { directory } = run;
  const entry = directory.ledger.find('answers', stage.name, step);
  if (entry && existsSync(directory.file(file)) && sha256OfFile(directory.file(file)) === entry.sha256)
    return;
  if (entry) run.progress.say(`${file} is not what the ledger says: it is made again`);
  const weightsDigest = await digestAt(run, stage, step);
  const store = openAnswerStore(answersPath(run.store, answersKey(run, weightsDigest)));
  const found = await collect(run, stage, step, keys, store);
  const records = await describe(run, step, keys, found);
  writeFileAtomic(directory.file(file), records.map(record => `${JSON.stringify(record)}\n`).join(''));
  directory.ledger.append({
    unit: 'answers',
    stage: stage.name,
    step,
    file,
    sha256: sha256OfFile(directory.file(file)),
  });
}

export function answersFile(training: string, step: number): string {
  return `answers/${training}-${stepName(step)}.jsonl`;
}

/** Why an answer is not one to learn from, null where it is: it has no end, or nothing before its end. */
export function faultOf(
  { stopIds }: Pick<RunContext, 'stopIds'>,
  { ids, finishReason }: StoredAnswer,
): 'unfinished' | 'empty' | null {
  if (finishReason === 'length') return 'unfinished';
  return ids.some(id => !stopIds.includes(id)) ? null : 'empty';
}

/** Digest of the weights of a checkpoint: from the ledger, the store, or the worker. */
async function digestAt(run: RunContext, stage: Stage, step: number): Promise<string> {
  const known =
    step === 0
      ? run.model.weightsDigest
      : (run.directory.ledger.find('checkpoint', stage.name, step)?.weightsDigest ??
        run.finishedSft?.weightsDigests[step]);
  if (known) return known;
  await standAt(run, stage, step);
  return standingDigest(run);
}

/** Everything that an answer depends on besides its prompt and seed; off strict sampling the batch too, hence the version. */
function answersKey(run: RunContext, weightsDigest: string): string {
  const { model, stopIds, environmentKey } = run;
  const { temperature, topP, maxNewTokens, stop } = samplingOf(run);
  const numerics = {
    engine: 'torch',
    ...environmentKey,
    strict: model.strictSampling,
    compute: model.computeDtype,
  };
  return sha256OfRecord({
    weightsDigest,
    temperature,
    topP,
    maxNewTokens,
    stopIds,
    stopTexts: stop,
    ...numerics,
  });
}

function samplingOf({ plan }: RunContext): NonNullable<RunContext['plan']['sampling']> {
  if (plan.sampling === null) throw new Error('the plan asks nobody');
  return plan.sampling;
}

/** The final answer to each key: unusable ones are drawn again where the configuration says so, at most `max_redraws` times. */
async function collect(run: RunContext, stage: Stage, step: number, keys: AnswerKey[], store: AnswerStore) {
  const { config, data } = run;
  const seedOf = samplingSeeds(config.seed);
  const chosen: { wanted: Wanted; attempt: number }[] = [];
  const prompts = await Promise.all(keys.map(({ example }) => promptOf(run, example)));
  const wantedAt = (index: number, attempt: number): Wanted => {
    const { example, sample } = keys[index] as AnswerKey;
    const seed = seedOf(
      step,
      data.idOf(example),
      redrawIndex(sample, attempt, config.tms.samples_per_prompt),
    );
    const prompt = prompts[index] as Int32Array;
    return { example, sample, seed, prompt, key: answerKey(prompt, seed) };
  };
  let open = keys.map((_, index) => index);
  const { redraws } = samplingOf(run);
  for (let attempt = 0; attempt <= redraws && open.length > 0; attempt++) {
    const wanted = open.map(index => wantedAt(index, attempt));
    await generateMissing(run, stage, step, wanted, store);
    open.forEach((index, i) => {
      chosen[index] = { wanted: wanted[i] as Wanted, attempt };
    });
    open = open.filter((_, i) => faultOf(run, answerOf(store, wanted[i] as Wanted)) !== null);
  }
  return chosen.map(({ wanted, attempt }) => ({ ...wanted, attempt, answer: answerOf(store, wanted) }));
}

async function promptOf({ data }: RunContext, example: number): Promise<Int32Array> {
  const { ids, promptLength } = await data.tokens.read(data.rows[example] as number);
  return ids.slice(0, promptLength);
}

function answerOf(store: AnswerStore, { key }: Wanted): StoredAnswer {
  const answer = store.get(key);
  if (!answer) throw new Error('an answer is missing after generation');
  return answer;
}

async function generateMissing(
  run: RunContext,
  stage: Stage,
  step: number,
  wanted: Wanted[],
  store: AnswerStore,
): Promise<void> {
  const missing = wanted.filter(({ key }) => !store.get(key));
  if (missing.length < wanted.length)
    run.progress.say(
      `step ${step}: ${wanted.length - missing.length} of ${wanted.length} answers are in the store`,
    );
  if (missing.length === 0) return;
  await standAt(run, stage, step);
  const asker = stage.name === 'sft' ? 'student' : stage.name;
  await timed(run, { unit: `answers ${step}`, kind: 'answer', training: asker }, async () => {
    let tokens = 0;
    for (let start = 0; start < missing.length; start += promptsAtOnce) {
      run.signal.throwIfAborted();
      const chunk = missing.slice(start, start + promptsAtOnce);
      tokens += await generateChunk(run, chunk, store, (done, count) =>
        run.progress.update(`answers at step ${step}`, start + done, missing.length, count),
      );
    }
    return { value: undefined, tokens };
  });
}

async function generateChunk(
  run: RunContext,
  chunk: Wanted[],
  store: AnswerStore,
  report: (done: number, tokens: number) => void,
): Promise<number> {
  const { worker, config, stopIds, signal } = run;
  const { maxNewTokens, temperature, topP, stop } = samplingOf(run);
  let seen = 0;
  const answers = await worker.generate(
    chunk.map(({ prompt }) => prompt),
    {
      seeds: chunk.map(({ seed }) => seed),
      maxNewTokens,
      temperature,
      topP,
      stopTexts: stop,
      stopIds,
      ...(config.sampler.max_rows === null ? {} : { maxRows: config.sampler.max_rows }),
      signal,
      onProgress: ({ done, tokens }) => {
        report(done, tokens - seen);
        seen = tokens;
      },
    },
  );
  const entries = answers.map(({ ids, said, finishReason }, i) => {
    const kept = finishReason === 'stop_text' ? said : ids;
    return [chunk[i]?.key ?? '', { ids: [...kept], finishReason }] as const;
  });
  store.add(new Map(entries));
  return answers.reduce((sum, { ids }) => sum + ids.length, 0);
}

type Found = Awaited<ReturnType<typeof collect>>;

/** The file's lines: ids to train on, text for people. */
async function describe(
  run: RunContext,
  step: number,
  keys: AnswerKey[],
  found: Found,
): Promise<AnswerRecord[]> {
  const texts = found.length === 0 ? [] : await run.worker.decode(found.map(({ answer }) => saidIn(answer)));
  const ends = await Promise.all(keys.map(({ example }) => endOf(run, example)));
  return keys.map(({ example, sample }, i) => {
    const { seed, attempt, answer } = found[i] as Found[number];
    const { finishReason } = answer;
    const id = run.data.idTextOf(example);
    const ids = finishReason === 'stop_text' ? [...answer.ids, ...(ends[i] ?? [])] : [...answer.ids];
    const text = texts[i] ?? '';
    return { id, example, checkpointStep: step, sample, attempt, seed, ids, finishReason, text };
  });
}

/** What it says: the stop id is no part of it, whether or not the tokenizer calls it special. */
function saidIn({ ids, finishReason }: StoredAnswer): readonly number[] {
  return finishReason === 'stop' ? ids.slice(0, -1) : ids;
}

/** The id that ends the reference of an example, so that an answer which a stop text ended can end alike; none where there is none. */
async function endOf({ data, stopIds }: RunContext, example: number): Promise<number[]> {
  const { ids } = await data.tokens.read(data.rows[example] as number);
  return stopIds.includes(ids.at(-1) ?? -1) ? [...ids.slice(-1)] : [];
}
