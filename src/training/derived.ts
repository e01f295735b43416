/** Weights made of those of a training, without optimiser steps of their own: as they were at a step, or between there and the base. */
import { existsSync, rmSync } from 'node:fs';
import { sha256OfRecord } from '../files/digest.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import { metricsLine } from '../run/records.ts';
import { damageOf, type SavedWeights } from '../store/weights.ts';
import { loadOptions } from './load-options.ts';
import { safePoint, timed } from './run.ts';
import { savedFacts, saveEnd } from './saved.ts';
import type { Trainer, Weights } from './trainer.ts';

/** Each weight is `baseShare` of the base's and the rest of that of `of`; 0: as it is there. */
export type Derivation = { readonly of: Weights; readonly baseShare: number };

/** In tables it is a training of one point, at the last step of its plan. */
export class Derived {
  readonly name: string;
  readonly plan: PlannedTraining;
  readonly from: Weights;
  readonly isShared = false;
  /** A digest of all that its weights depend on. */
  readonly key: string;
  readonly #trainer: Trainer;
  readonly #derivation: Derivation;

  constructor(trainer: Trainer, { name, plan, ...derivation }: Derivation & Pick<Derived, 'name' | 'plan'>) {
    this.#trainer = trainer;
    this.name = name;
    this.plan = plan;
    this.from = trainer.base;
    this.#derivation = derivation;
    this.key = sha256OfRecord({ of: trainer.recipeOf(derivation.of), baseShare: derivation.baseShare });
  }

  get end(): Weights {
    return { training: this.name, step: this.plan.steps };
  }

  /** Make, save and measure them. What was done is found again, and made again where it is damaged. */
  async finish(): Promise<Weights> {
    const { run } = this.#trainer;
    await safePoint(run);
    const done = run.directory.trained(this.name);
    const path = run.directory.file('models', this.name);
    if (done === null) await this.#make();
    else if (!existsSync(path) || damageOf({ path, ...savedFacts(done) }) !== null) {
      run.progress.say(`${path} is damaged: it is made again`);
      rmSync(path, { recursive: true, force: true });
      await this.#trainer.load(this.end);
      await saveEnd(run, this.name);
    }
    await this.#trainer.evaluate(this.end);
    return this.end;
  }

  /** In the worker, in place of what stands there. */
  async trainAgain(): Promise<void> {
    const { run } = this.#trainer;
    const { of, baseShare } = this.#derivation;
    if (baseShare === 0) await this.#trainer.load(of);
    else {
      const { path: model, release } = await this.#placeOf(of);
      const { model_name_or_path: base, model_revision: revision } = run.config;
      const blend = { model: base, revision, share: baseShare };
      this.#trainer.holds(null);
      await run.worker.load({ ...loadOptions(run.config), model, digest: true, blend }).finally(release);
    }
    this.#trainer.holds(this.end);
  }

  savedAt(step: number): SavedWeights[] {
    const { directory } = this.#trainer.run;
    const done = step === this.plan.steps ? directory.trained(this.name) : null;
    return done === null ? [] : [{ path: directory.file('models', this.name), ...savedFacts(done) }];
  }

  digestAt(step: number): string | null {
    const { directory } = this.#trainer.run;
    const done = step === this.plan.steps ? directory.trained(this.name) : null;
    return done?.weightsDigest ?? directory.evaluatedDigest(this.name, step);
  }

  async #make(): Promise<void> {
    const { run } = this.#trainer;
    const { of, baseShare } = this.#derivation;
    const step = this.plan.steps;
    const unit = { unit: `make ${this.name}`, kind: 'train', training: this.name } as const;
    await timed(run, unit, async () => ({ value: await this.trainAgain(), tokens: 0 }));
    const { files, digest } = await saveEnd(run, this.name);
    const line = { step, made_of_step: of.step, base_share: baseShare };
    run.directory.appendMetrics([metricsLine.parse({ training: this.name, ...line })]);
    const saved = { files: files ?? '', weightsDigest: digest ?? '' };
    run.directory.recordTraining({ training: this.name, step, state: null, ...saved });
  }

  /** A directory with these weights: where they are kept, else written for the moment. */
  async #placeOf(weights: Weights): Promise<{ path: string; release: () => void }> {
    const { run } = this.#trainer;
    const { saved } = this.#trainer.kept(weights);
    const found = saved.find(one => existsSync(one.path) && damageOf(one) === null);
    if (found !== undefined) return { path: found.path, release: () => {} };
    await this.#trainer.load(weights);
    const path = run.directory.file('states', `${this.name}-step-to-blend`);
    const release = () => rmSync(path, { recursive: true, force: true });
    release(); // a kill left it
    await run.worker.save(path);
    return { path, release };
  }
}
