/**
 * What other weights answer to the prompts of a training, and the targets that are mixed from it: each visit of a prompt draws the
 * gold answer or one of the answers (docs/algorithm.md). Answers come from the store where they are known; nothing of them is held in
 * memory but where they lie.
 */
import { existsSync } from 'node:fs';
import { sha256OfFile } from '../files/atomic.ts';
import { LineWriter } from '../files/line-writer.ts';
import { type AnswerSet, answersOf, type MixturePlan } from '../plan/draws.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import type { SamplingPlan } from '../plan/sampling-plan.ts';
import { type AnswerRecord, stepName } from '../run/records.ts';
import { type Asked, Asking } from './asking.ts';
import { type MixOptions, mixTargets } from './mix-targets.ts';
import { safePoint } from './run.ts';
import type { Targets } from './targets.ts';
import type { Trainer, Weights } from './trainer.ts';

/** For which training, and as its plan says. */
export type HarvestOptions = {
  readonly name: string;
  readonly training: PlannedTraining;
  readonly mixture: MixturePlan;
  readonly sampling: SamplingPlan;
};

export class Harvest {
  readonly options: HarvestOptions;
  /** In the order in which they were asked: the policies of the mixture. */
  readonly asked: Weights[] = [];
  readonly #trainer: Trainer;
  readonly #answers: AnswerSet;

  constructor(trainer: Trainer, options: HarvestOptions) {
    this.#trainer = trainer;
    this.options = options;
    const { mixture, training } = options;
    this.#answers = answersOf(mixture, training, trainer.run.data.idOf);
  }

  /** Answers that the file of each policy has, together. */
  get count(): number {
    return this.#answers.count;
  }

  /**
   * Let weights answer what visits will read of them; they become the next policy of the mixture. Writes a file of the run. Samplers
   * answer while the trainer goes on: when this returns, those before have answered.
   */
  async answersOf(weights: Weights): Promise<void> {
    const { run } = this.#trainer;
    await safePoint(run);
    const policy = this.asked.push(weights) - 1;
    const file = this.fileOf(weights);
    const entry = run.directory.ledger.ofFile(file);
    const path = run.directory.file(file);
    if (entry && existsSync(path) && sha256OfFile(path) === entry.sha256) return;
    if (entry) run.progress.say(`${file} is not what the ledger says: it is made again`);
    const asking = await Asking.of(this.#trainer, {
      weights,
      for: this.options.name,
      sampling: this.options.sampling,
    });
    const count = this.#answers.perCheckpoint[policy] ?? 0;
    const asked: Asked = { examples: new Uint32Array(count), samples: new Uint32Array(count) };
    let index = 0;
    for (const { example, sample } of this.#answers.at(policy)) {
      asked.examples[index] = example;
      asked.samples[index++] = sample;
    }
    const { name: training, mixture } = this.options;
    const { samplesPerPrompt } = mixture.draws;
    const work = async () => {
      await writeLines(path, asking.answers(asked, samplesPerPrompt));
      const sha256 = sha256OfFile(path);
      run.directory.ledger.append({ unit: 'answers', training, step: weights.step, file, sha256 });
    };
    if (!(await asking.holds(asked, samplesPerPrompt))) return work();
    await run.background.begin(() => work().finally(() => asking.release()));
  }

  /** Where the answers of weights lie, below the run directory. */
  fileOf({ training, step }: Weights): string {
    return `answers/${this.options.name}/${training}-${stepName(step)}.jsonl`;
  }

  /** What each visit learns, by its draw. Writes curriculum.jsonl and the targets' file. */
  async targets(options: MixOptions): Promise<Targets> {
    await this.#trainer.run.background.done();
    return mixTargets(this.#trainer, this, options);
  }
}

/** A file that appears when all lines are in it. Nothing is opened before the first is there, which takes long. */
async function writeLines(path: string, records: AsyncIterable<AnswerRecord>): Promise<void> {
  let output: LineWriter | null = null;
  try {
    for await (const record of records) {
      output ??= new LineWriter(path);
      output.add(`${JSON.stringify(record)}\n`);
    }
    output ??= new LineWriter(path); // nothing was drawn
    output.finish();
  } catch (error) {
    output?.abort();
    throw error;
  }
}
