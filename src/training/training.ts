/** One training of a run: taken to a step, measured and kept on the way where the plan says so. Everything is done once. */
import { existsSync, rmSync } from 'node:fs';
import { sha256OfRecord } from '../files/digest.ts';
import type { PlannedTraining, Reference } from '../plan/plan.ts';
import type { MetricsLine } from '../run/records.ts';
import { type FinishedTraining, finishedTraining, keepFinished, weightsPath } from '../store/store.ts';
import { damageOf, linkWeights, type SavedWeights, saveUnlessThere } from '../store/weights.ts';
import { samplerNumerics } from './held.ts';
import { type Loss, meanOverTokens } from './loss.ts';
import { type Policy, policyAt } from './policy.ts';
import { recipeOf } from './recipe.ts';
import { safePoint, timed } from './run.ts';
import { removeOldStates, savedFacts, saveEnd, saveState } from './saved.ts';
import { refuseUnmoved, takeSteps } from './steps.ts';
import type { Targets } from './targets.ts';
import type { Trainer, Weights } from './trainer.ts';
/** `from`: the weights that it starts with, and a fresh optimiser. By default the loss is the mean over tokens. */
export type TrainingOptions = {
  readonly from: Weights;
  readonly on: Targets;
  readonly loss?: Loss;
};

export class Training {
  readonly name: string;
  readonly plan: PlannedTraining;
  readonly from: Weights;
  readonly on: Targets;
  readonly loss: Loss;
  /** A digest of all that its weights depend on. */
  readonly key: string;
  readonly #trainer: Trainer;
  /** As an earlier run finished it; its weights need not be trained again. */
  readonly #stored: FinishedTraining | null;
  /** Step up to which metrics are written. */
  #reached: number;
  /** Step up to which everything of the plan is done. */
  #passed = 0;

  constructor(
    trainer: Trainer,
    { name, plan, from, on, loss = meanOverTokens }: TrainingOptions & Pick<Training, 'name' | 'plan'>,
  ) {
    this.#trainer = trainer;
    this.name = name;
    this.plan = plan;
    this.from = from;
    this.on = on;
    this.loss = loss;
    const { directory, store, progress } = trainer.run;
    this.key = sha256OfRecord(this.#recipe(trainer));
    this.#reached = directory.trainedTo(name);
    this.#stored = this.isShared ? finishedTraining(store, this.key, plan) : null;
    if (this.#reached > 0) removeOldStates(trainer.run, name);
    if (this.#stored !== null && this.#reached < plan.steps)
      progress.say(`the training ${name} is in the store: it is not trained again`);
  }

  /** Its last weights. */
  get end(): Weights {
    return { training: this.name, step: this.plan.steps };
  }

  /** Whether its weights are kept for other runs. */
  get isShared(): boolean {
    return this.plan.checkpoints.some(step => step > 0);
  }

  /** The weights before a step, from 0, while they stand in the worker. */
  policyAt(step: number): Policy {
    return policyAt(this.#trainer.run, { training: this.name, step });
  }

  /** Train to `step`, from wherever it is; on the way measure and keep what the plan says. */
  async to(step: number): Promise<Weights> {
    const { evaluationSteps, checkpoints } = this.plan;
    if (step === this.plan.steps) await this.#mendEnd();
    const stops = [...new Set([...evaluationSteps, ...checkpoints, step])].toSorted((a, b) => a - b);
    for (const stop of stops.filter(stop => stop > this.#passed && stop <= step)) {
      await this.#trainTo(stop);
      if (checkpoints.includes(stop)) await this.#keep(stop);
      if (evaluationSteps.includes(stop)) await this.#trainer.evaluate({ training: this.name, step: stop });
      this.#passed = stop;
    }
    return step === 0 ? this.#trainer.base : { training: this.name, step };
  }

  /** Train to the end; other runs find it in the store where its weights are kept. */
  async finish(): Promise<Weights> {
    await this.to(this.plan.steps);
    if (this.isShared && !this.#isWholeInStore()) this.#publish();
    return this.end;
  }

  /** Train to a step whose metrics are written, because its weights are needed: the same weights, and nothing is written. */
  async trainAgain(step: number): Promise<void> {
    const from = await this.#trainer.loadToTrain(this, step);
    if (from < step) await this.#take([from, step], true);
  }

  /** Where the weights of a step lie, if they were kept. */
  savedAt(step: number): SavedWeights[] {
    const { directory, store } = this.#trainer.run;
    const end = step === this.plan.steps ? directory.trained(this.name) : null;
    const kept = this.#keptAt(step);
    return [
      ...(end !== null && end.step === step
        ? [{ path: directory.file('models', this.name), ...savedFacts(end) }]
        : []),
      ...(this.isShared
        ? [
            {
              path: weightsPath(store, this.key, step),
              files: kept?.files ?? null,
              digest: kept?.digest ?? null,
            },
          ]
        : []),
    ];
  }

  /** Digest of the tensors at a step, where it was noted. */
  digestAt(step: number): string | null {
    const { directory } = this.#trainer.run;
    const end = directory.trainedEntries(this.name).find(entry => entry.step === step);
    const noted = this.#keptAt(step)?.digest ?? end?.weightsDigest ?? this.#stored?.digests[step];
    return noted ?? directory.evaluatedDigest(this.name, step);
  }

  #keptAt(step: number): { digest: string; files: string } | null {
    const entry = this.#trainer.run.directory.ledger.find('checkpoint', this.name, step);
    if (entry) return { digest: entry.weightsDigest, files: entry.files };
    return this.#stored?.weights[step] ?? null;
  }

  /** Metrics lines, a training state at each multiple of save_steps and the ledger's line are on disk when this returns. */
  async #trainTo(step: number): Promise<void> {
    const { run } = this.#trainer;
    const { save_steps: every } = run.config;
    while (this.#reached < step) {
      await safePoint(run); // where the store has it nothing else asks
      const from = this.#reached;
      const to = every === 0 ? step : Math.min(step, (Math.floor(from / every) + 1) * every);
      run.directory.appendMetrics(await this.#metricsBetween(from, to));
      await this.#record(to);
      this.#reached = to;
    }
  }

  async #metricsBetween(from: number, to: number): Promise<MetricsLine[]> {
    if (this.#stored !== null) return this.#stored.metrics.filter(({ step }) => from < step && step <= to);
    const { run } = this.#trainer;
    const at = await this.#trainer.loadToTrain(this, from);
    if (at < from) await this.#take([at, from], true);
    return this.#take([from, to], run.directory.isTimed(this.name, to));
  }

  /** `isAgain`: an earlier attempt noted its time, which is no cost of the run twice. */
  async #take([from, to]: [number, number], isAgain: boolean): Promise<MetricsLine[]> {
    const { run } = this.#trainer;
    const work = async () => {
      if (from === 0 && this.plan.reference !== null) await this.#keepReference(this.plan.reference);
      const lines = await takeSteps(run, this, [from, to]);
      return { value: lines, tokens: lines.reduce((sum, line) => sum + (line.num_tokens ?? 0), 0) };
    };
    const unit = `train ${this.name} ${to}`;
    const lines = isAgain
      ? (await work()).value
      : await timed(run, { unit, kind: 'train', training: this.name }, work);
    this.#trainer.trained(this.name, to);
    return lines;
  }

  /** A state of the training holds it from then on. */
  async #keepReference({ model }: Reference): Promise<void> {
    const { worker, config } = this.#trainer.run;
    if (model === 'base' && this.from.training === 'base') await worker.keep();
    else if (model === 'base')
      await worker.keep({ model: config.model_name_or_path, revision: config.model_revision });
    else await worker.keep({ model: model.path });
  }

  /** Save what the step needs, then the ledger's line, then remove older states. */
  async #record(step: number): Promise<void> {
    const { run } = this.#trainer;
    const { directory, config } = run;
    const isEnd = step === this.plan.steps;
    const isSave = config.save_steps > 0 && step % config.save_steps === 0 && this.#stored === null;
    if (!isEnd && !isSave) return;
    const saved = isEnd
      ? { name: null, ...(await this.#endWeights()) }
      : await saveState(run, this.name, step);
    const { files, digest: weightsDigest } = noted(saved);
    if (isEnd)
      refuseUnmoved(run, this, { before: await this.#trainer.digestOf(this.from), after: weightsDigest });
    directory.recordTraining({ training: this.name, step, state: saved.name, files, weightsDigest });
    removeOldStates(run, this.name);
  }

  /** Last weights that an earlier attempt wrote into the run directory, and that are no longer what they were, are made again. */
  async #mendEnd(): Promise<void> {
    const { run } = this.#trainer;
    const end = run.directory.trained(this.name);
    if (this.#passed === this.plan.steps || end === null || end.step !== this.plan.steps) return;
    const path = run.directory.file('models', this.name);
    const saved = { path, ...savedFacts(end) };
    if (existsSync(path) && damageOf(saved) === null) return;
    run.progress.say(`${path} is damaged: it is made again`);
    rmSync(path, { recursive: true, force: true });
    if (linkWeights(weightsPath(run.store, this.key, end.step), saved)) return;
    await this.#trainer.load(this.end);
    await saveEnd(run, this.name);
  }

  async #endWeights(): Promise<SavedWeights> {
    const { run } = this.#trainer;
    const stored = this.#stored?.weights[this.plan.steps];
    const path = run.directory.file('models', this.name);
    if (stored !== undefined) {
      rmSync(path, { recursive: true, force: true });
      const saved = { path, files: stored.files, digest: stored.digest };
      if (linkWeights(weightsPath(run.store, this.key, this.plan.steps), saved)) return saved;
      run.progress.say(`the weights of ${this.name} in the store are damaged: it is trained again`);
      await this.trainAgain(this.plan.steps);
    }
    return saveEnd(run, this.name);
  }

  /** The weights of a checkpoint go into the store, unless they are there. */
  async #keep(step: number): Promise<void> {
    const { run } = this.#trainer;
    await safePoint(run);
    if (run.directory.ledger.find('checkpoint', this.name, step)) return;
    const known = this.#stored?.weights[step];
    const isThere = known !== undefined && existsSync(weightsPath(run.store, this.key, step));
    if (this.#stored !== null && !isThere)
      run.progress.say(
        `note: ${this.name} is in the store without its weights at step ${step}: it is trained to there again`,
      );
    const stored = isThere ? known : null;
    const unit = `checkpoint ${step}`;
    const kept =
      stored ??
      (await timed(run, { unit, kind: 'save', training: this.name }, async () => {
        const path = weightsPath(run.store, this.key, step);
        const [end] = step === this.plan.steps ? this.savedAt(step) : [];
        if (end !== undefined && linkWeights(end.path, { ...end, path }))
          return { value: noted(end), tokens: 0 };
        await this.#trainer.load({ training: this.name, step });
        return { value: noted(await saveUnlessThere(run, path)), tokens: 0 };
      }));
    run.directory.ledger.append({
      unit: 'checkpoint',
      training: this.name,
      step,
      weightsDigest: kept.digest,
      files: kept.files,
    });
  }

  #isWholeInStore(): boolean {
    return (
      this.#stored !== null && this.plan.checkpoints.every(step => step === 0 || this.#stored?.weights[step])
    );
  }

  #recipe(trainer: Trainer) {
    return recipeOf(trainer.run, {
      from: trainer.recipeOf(this.from),
      // The trainer's log-probabilities of what it sampled differ by rounding from those that it sampled with.
      on:
        this.on.isOnPolicy && trainer.run.samplers !== null
          ? sha256OfRecord([this.on.key, 'samplers', samplerNumerics(trainer.run)])
          : this.on.key,
      loss: this.loss.name,
      reference: this.plan.reference,
      code: trainer.run.code[this.name],
      plan: this.plan,
    });
  }

  #publish(): void {
    const { directory, store } = this.#trainer.run;
    const kept = this.plan.checkpoints.flatMap(step => {
      const found = this.#keptAt(step);
      return found === null ? [] : [[step, found] as const];
    });
    const weights = { ...this.#stored?.weights, ...Object.fromEntries(kept) };
    const digests = Object.fromEntries(
      this.plan.evaluationSteps.flatMap(step => {
        const digest = this.digestAt(step);
        return step === 0 || digest === null ? [] : [[step, digest]];
      }),
    );
    keepFinished(store, this.key, {
      steps: this.plan.steps,
      weights,
      digests,
      metrics: directory.metricsOf(this.name),
      recipe: this.#recipe(this.#trainer),
    });
  }
}

function noted({ files, digest }: SavedWeights): { digest: string; files: string } {
  return { digest: digest ?? '', files: files ?? '' };
}
