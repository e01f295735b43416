/**
 * What a method works with: trainings, what their weights answer, what they are measured to be. It alone says what stands in the worker;
 * whatever needs other weights than those asks for them here, so that none is ever taken for another.
 */
import { existsSync } from 'node:fs';
import { TmsError } from '../errors.ts';
import type { MixturePlan } from '../plan/draws.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import type { SamplingPlan } from '../plan/sampling-plan.ts';
import type { SavedWeights } from '../store/weights.ts';
import { type Choose, chosenTargets } from './chosen-targets.ts';
import { type Derivation, Derived } from './derived.ts';
import { evaluateWeights, type Measured, measuredOf } from './evaluations.ts';
import { Harvest } from './harvest.ts';
import { type Held, holdWeights, removeHeld } from './held.ts';
import { loadOptions, newAdapter } from './load-options.ts';
import { baseRecipe } from './recipe.ts';
import { type Rewards, rewardsOf, type ScorerSettings } from './rewards.ts';
import type { Run } from './run.ts';
import { loadWhole, saveEnd, statesUpTo } from './saved.ts';
import { goldTargets, type Targets } from './targets.ts';
import { Training, type TrainingOptions } from './training.ts';

/** Weights of a training after `step` optimiser updates; `base` at step 0 is the model that a run begins with. */
export type Weights = { readonly training: string; readonly step: number };

/** What a failed load leaves. */
const nothing: Loaded = { weights: { training: '', step: 0 }, optimiser: '' };

/** `optimiser`: of which training the optimiser's state stands there too; `fresh`: of none yet. */
type Loaded = { readonly weights: Weights; readonly optimiser: string };

export class Trainer {
  /** The model that the configuration names. */
  readonly base: Weights = { training: 'base', step: 0 };
  /** The gold answer of each example. */
  readonly gold: Targets;
  readonly run: Run;
  readonly #trainings = new Map<string, Training | Derived>();
  #method = '';
  readonly #open: Targets[] = [];
  #loaded: Loaded;

  /** The base must stand in the worker, fresh. */
  constructor(run: Run) {
    this.run = run;
    removeHeld(run);
    this.gold = goldTargets(run);
    this.#loaded = { weights: this.base, optimiser: 'fresh' };
  }

  /** Let a method do its work: exactly the trainings that it planned, each to its end. Throws `TmsError` that names what is not so. */
  async runMethod(method: string, work: () => Promise<void>): Promise<void> {
    this.#method = method;
    await work();
    await this.run.background.done();
    const planned = Object.entries(this.run.plan.methods[method]?.trainings ?? {});
    const open = planned.filter(([name, { steps }]) => this.run.directory.trainedTo(name) < steps);
    if (open.length === 0) return;
    const names = open.map(([name]) => name).join(', ');
    throw new TmsError(`the method ${method} planned ${names}, and did not train to the end`, {
      fix: `in its run: await trainer.training(${JSON.stringify(open[0]?.[0])}, …).finish(); or leave it out of its plan`,
    });
  }

  /** A training of the plan. Nothing happens before it is asked to go on. */
  training(name: string, options: TrainingOptions): Training {
    const training = new Training(this, { name, plan: this.#planned(name), ...options });
    this.#trainings.set(name, training);
    this.#open.push(options.on);
    return training;
  }

  /** Weights of the plan that are made of those of a training, without steps of their own. */
  derived(name: string, derivation: Derivation): Derived {
    const derived = new Derived(this, { name, plan: this.#planned(name), ...derivation });
    this.#trainings.set(name, derived);
    return derived;
  }

  /** What other weights answer to the prompts of a training, as its mixture draws them. */
  harvest(name: string, mixture: MixturePlan, sampling: SamplingPlan): Harvest {
    return new Harvest(this, { name, training: this.#planned(name), mixture, sampling });
  }

  /** Targets of a training that are chosen visit by visit. Writes curriculum.jsonl and targets/<training>.bin, and reads them from there. */
  chosen(name: string, choose: Choose): Promise<Targets> {
    return chosenTargets(this.run, { name, plan: this.#planned(name), choose });
  }

  /** Measure weights as the configuration says, unless they were. */
  evaluate(weights: Weights): Promise<void> {
    return evaluateWeights(this, weights);
  }

  /** What was measured of weights. Throws where nothing was: that would be a mistake of the plan. */
  measured(weights: Weights): Measured {
    const found = measuredOf(this.run, weights);
    if (found === null) throw new Error(`${weights.training} was not measured at step ${weights.step}`);
    return found;
  }

  /** Make weights ready to be asked, in the worker or in samplers; release them. */
  hold(weights: Weights): Promise<Held> {
    return holdWeights(this, weights);
  }

  /** Log-probabilities of the ids of sequences under weights, in nats. */
  async logprobs(weights: Weights, sequences: readonly Int32Array[]): Promise<Float32Array[]> {
    await this.load(weights);
    return (await this.run.worker.forward(sequences, { signal: this.run.signal })).logprobs;
  }

  /** What weights are the same as, and where those are kept. */
  kept(given: Weights): { weights: Weights; saved: readonly SavedWeights[] } {
    const weights = this.#origin(given);
    return {
      weights,
      saved: weights.training === 'base' ? [] : this.#named(weights.training).savedAt(weights.step),
    };
  }

  /** Make the worker hold these weights: as they are, from where they are kept, or by training again. */
  async load(given: Weights): Promise<void> {
    const weights = this.#origin(given);
    if (isSame(this.#loaded.weights, weights)) return;
    if (weights.training === 'base') return this.#loadBase();
    const training = this.#named(weights.training);
    for (const saved of training.savedAt(weights.step)) if (await this.#loadSaved(weights, saved)) return;
    await training.trainAgain(weights.step);
  }

  /** Make the worker hold a training at the latest step up to `step` from which it can go on; returns that step. */
  async loadToTrain(training: Training, step: number): Promise<number> {
    const { weights, optimiser } = this.#loaded;
    if (weights.training === training.name && optimiser === training.name && weights.step <= step)
      return weights.step;
    for (const { at, ...saved } of statesUpTo(this.run.directory, training.name, step)) {
      const place = { training: training.name, step: at };
      if (await this.#loadSaved(place, saved, training.name)) return at;
    }
    const start = this.#origin(training.from);
    if (!(isSame(this.#loaded.weights, start) && this.#loaded.optimiser === 'fresh'))
      await this.#loadFresh(start);
    return 0;
  }

  /** What scores answers to training prompts. */
  rewards(settings: ScorerSettings): Promise<Rewards> {
    return rewardsOf(this.run, settings);
  }

  /** What stands in the worker after a training took steps. */
  trained(name: string, step: number): void {
    this.#loaded = { weights: { training: name, step }, optimiser: name };
  }

  /** What stands in the worker without an optimiser to go on with; null: nobody knows. */
  holds(weights: Weights | null): void {
    this.#loaded = weights === null ? nothing : { weights, optimiser: '' };
  }

  /** Digest of the tensors: from where it is noted, else by loading them. */
  async digestOf(given: Weights): Promise<string> {
    const weights = this.#origin(given);
    const known =
      weights.training === 'base'
        ? this.run.model.weightsDigest
        : this.#named(weights.training).digestAt(weights.step);
    if (known) return known;
    await this.load(weights);
    const digest = (await this.run.worker.status({ digest: true })).model?.weightsDigest;
    if (!digest) throw new Error('the worker gave no digest of its weights');
    return digest;
  }

  /** The same, where it takes no work; null where it does. */
  knownDigest(given: Weights): string | null {
    const weights = this.#origin(given);
    if (weights.training === 'base') return this.run.model.weightsDigest;
    return this.#named(weights.training).digestAt(weights.step);
  }

  /** What the weights are made from, whether they are there or not: part of the key of what follows from them. */
  recipeOf(given: Weights): string {
    const weights = this.#origin(given);
    if (weights.training === 'base') return baseRecipe(this.run);
    return `${this.#named(weights.training).key} at ${weights.step}`;
  }

  /** Whether other runs find these weights, and so what is measured of them. */
  isShared({ training }: Weights): boolean {
    return training === 'base' || this.#named(training).isShared;
  }

  /** Close the files that targets are read from, and remove weights that were there for samplers alone. */
  async close(): Promise<void> {
    removeHeld(this.run);
    for (const targets of this.#open.splice(0)) await targets.close?.();
  }

  /** At step 0 a training is what it starts from. */
  #origin(weights: Weights): Weights {
    if (weights.step > 0 || weights.training === 'base') return weights;
    return this.#origin(this.#named(weights.training).from);
  }

  #planned(name: string): PlannedTraining {
    const planned = this.run.plan.methods[this.#method]?.trainings ?? {};
    if (planned[name] !== undefined) return planned[name];
    throw new TmsError(`the method ${this.#method} asks for a training ${name} that it did not plan`, {
      fix: `it planned ${Object.keys(planned).join(', ')}: name one of these, or give its plan another`,
    });
  }

  #named(name: string): Training | Derived {
    const training = this.#trainings.get(name);
    if (training === undefined) throw new Error(`no training ${name} was begun`);
    return training;
  }

  async #loadFresh(weights: Weights): Promise<void> {
    if (weights.training === 'base') return this.#loadBase();
    this.#loaded = nothing;
    await this.load(weights);
    if (this.#loaded.optimiser === 'fresh') return;
    // Trained again just now: saved, so that a fresh optimiser begins on them as it always does.
    const saved = await saveEnd(this.run, weights.training);
    if (!(await this.#loadSaved(weights, saved)))
      throw new Error('weights that were saved just now are damaged');
  }

  async #loadBase(): Promise<void> {
    const { config, worker } = this.run;
    const model = config.model_name_or_path;
    const options = { ...loadOptions(config), model, adapter: newAdapter(config), digest: true };
    this.#loaded = nothing;
    const { weightsDigest } = await worker.load(options);
    if (weightsDigest !== this.run.model.weightsDigest)
      throw new TmsError(`the weights of ${model} changed since this run began`, {
        fix: 'put back those that it began with, then go on with tms resume; or start a new run',
      });
    this.#loaded = { weights: this.base, optimiser: 'fresh' };
  }

  /** False where there is nothing, or nothing whole: that is said, and done again. */
  async #loadSaved(weights: Weights, saved: SavedWeights, optimiser = 'fresh'): Promise<boolean> {
    if (!existsSync(saved.path)) return false;
    this.#loaded = nothing;
    if (!(await loadWhole(this.run, saved, optimiser !== 'fresh'))) return false;
    this.#loaded = { weights, optimiser };
    return true;
  }
}

function isSame(one: Weights, other: Weights): boolean {
  return one.training === other.training && one.step === other.step;
}
