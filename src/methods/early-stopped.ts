/**
 * Early stopping: SFT, and of its measured points the one that some evaluation sets choose (checkpoint selection on held-out sets; Prechelt
 * 1998). What sets choose they cannot judge: other sets must be there to report on.
 */
import { z } from 'zod';
import { is, readWhen } from '../config/condition.ts';
import { fraction, ours, text } from '../config/setting.ts';
import type { Measured } from '../training/evaluations.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    choose_by: ours(
      z.enum(['target', 'retention']).default('target'),
      'target: the measured point with the highest accuracy on the target sets that choose, the earliest of equals. retention: the same ' +
        'among points that lose at most max_drop on the retention sets that choose; where all lose more, the one that loses least.',
    ),
    sets: ours(
      z.array(text).default([]),
      'Names of the evaluation sets that choose, of eval.sets and retention.sets. They say nothing of the chosen point; the other sets do.',
    ),
    max_drop: readWhen(
      ours(fraction.default(0.02), 'Largest loss of retention, as a share, of a point that may be chosen.'),
      { '.choose_by': is('retention') },
    ),
  })
  .prefault({});
type Settings = z.infer<typeof settings>;

export const earlyStopped = defineMethod({
  name: 'early-stopped',
  title: 'fine-tune on gold answers, and keep the measured point that some evaluation sets choose.',
  settings,

  check({ sets, choose_by }, config) {
    const named = { target: config.eval.sets, retention: config.retention.sets };
    const known = [...named.target, ...named.retention].map(({ name }) => name);
    const findings = sets
      .filter(name => !known.includes(name))
      .map(name => ({
        path: ['sets'],
        found: name,
        expected: 'names of evaluation sets',
        hint: known.join(', ') || null,
      }));
    const roles = choose_by === 'target' ? (['target'] as const) : (['target', 'retention'] as const);
    for (const role of roles) {
      const choosing = named[role].filter(({ name }) => sets.includes(name)).length;
      const expected = `a ${role} set that chooses, and another one to report on`;
      if (choosing === 0 || choosing === named[role].length)
        findings.push({
          path: ['sets'],
          found: `${choosing} of ${named[role].length} ${role} sets`,
          expected,
          hint: null,
        });
    }
    return findings;
  },

  plan({ settings: { sets }, training }) {
    const sft = training({ label: 'SFT', role: 'baseline' });
    const points = sft.evaluationSteps.filter(step => step > 0);
    const trainsOn = 'gold, to the point that the selection sets chose';
    const chosen = training({ label: 'SFT, stopped early', role: 'method', needs: ['sft'], trainsOn });
    return {
      trainings: {
        sft: { ...sft, checkpoints: points },
        // No step of its own: it stands where SFT ends.
        'early-stopped': { ...chosen, visits: 0, evaluationSteps: [sft.steps] },
      },
      selectionSets: sets,
    };
  },

  async run({ settings, plan, trainer }) {
    const sft = trainer.training('sft', { from: trainer.base, on: trainer.gold });
    await sft.finish();
    const points = (plan.trainings.sft?.checkpoints ?? []).map(step => ({
      step,
      measured: trainer.measured({ training: 'sft', step }),
    }));
    const step = choosePoint(settings, trainer.measured(trainer.base), points);
    trainer.run.progress.say(`${settings.sets.join(', ')} chose SFT at step ${step} of ${sft.plan.steps}`);
    await trainer.derived('early-stopped', { of: { training: 'sft', step }, baseShare: 0 }).finish();
  },
});

type MeasuredPoint = { readonly step: number; readonly measured: Measured };

/** The step of the point that the sets choose. */
export function choosePoint(
  { choose_by, sets, max_drop }: Settings,
  base: Measured,
  points: readonly MeasuredPoint[],
): number {
  const found = points.map(({ step, measured }) => ({
    step,
    target: accuracyOn(measured, 'target', sets),
    drop: accuracyOn(base, 'retention', sets) - accuracyOn(measured, 'retention', sets),
  }));
  const least = Math.min(...found.map(({ drop }) => drop));
  const allowed =
    choose_by === 'target' ? found : found.filter(({ drop }) => drop <= Math.max(max_drop, least) + 1e-12);
  const best = Math.max(...allowed.map(({ target }) => target));
  const chosen = allowed.find(({ target }) => target === best);
  if (chosen === undefined) throw new Error('no point of SFT was measured on the sets that choose');
  return chosen.step;
}

/** Mean over the sets that choose, each counting the same; 0 of none. */
function accuracyOn({ sets: all }: Measured, role: 'target' | 'retention', sets: readonly string[]): number {
  const chosen = all.filter(set => set.role === role && sets.includes(set.name));
  return chosen.reduce((sum, { accuracy }) => sum + accuracy, 0) / Math.max(1, chosen.length);
}
