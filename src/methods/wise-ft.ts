/**
 * Weight averaging (WiSE-FT, 2109.01903): fine-tune, then take each weight between the base's and the tuned model's,
 * θ = (1 − α)·θ_base + α·θ_SFT. Nothing is trained for it but SFT, the baseline beside it.
 */
import { z } from 'zod';
import { ours } from '../config/setting.ts';
import { defineMethod } from './method.ts';
import { otherAdapters } from './plain-adapter.ts';

const settings = z
  .strictObject({
    shares: ours(
      z.array(z.number().gt(0).lt(1)).min(1).max(20).default([0.5]),
      'Each α is a model of the run: the share of the fine-tuned weights in it, the rest is the base’s.',
    ),
  })
  .prefault({});

export const wiseFt = defineMethod({
  name: 'wise-ft',
  title: 'fine-tune on gold answers, then average its weights with the base’s.',
  settings,

  check({ shares }, config) {
    const repeated = shares.find(
      (share, i) => shares.findIndex(other => nameOf(other) === nameOf(share)) < i,
    );
    const expected = 'shares that differ in their first four digits';
    const twice = { path: ['shares'], found: `${repeated} twice`, expected, hint: null };
    return [...otherAdapters(config), ...(repeated === undefined ? [] : [twice])];
  },

  plan({ settings: { shares }, training }) {
    const sft = training({ label: 'SFT', role: 'baseline' });
    const averaged = shares.map(share => {
      const facts = training({
        label: `WiSE-FT, α ${share}`,
        role: 'method',
        needs: ['sft'],
        trainsOn: `nothing: its weights are ${share} of SFT’s and the rest of the base’s`,
      });
      // No step of its own: it stands where SFT ends.
      return [nameOf(share), { ...facts, visits: 0, evaluationSteps: [facts.steps] }] as const;
    });
    return { trainings: { sft: { ...sft, checkpoints: [sft.steps] }, ...Object.fromEntries(averaged) } };
  },

  async run({ settings: { shares }, trainer }) {
    const of = await trainer.training('sft', { from: trainer.base, on: trainer.gold }).finish();
    for (const share of shares) await trainer.derived(nameOf(share), { of, baseShare: 1 - share }).finish();
  },
});

/** `wise-ft-0500` for 0.5. */
function nameOf(share: number): string {
  return `wise-ft-${String(Math.round(share * 1e4)).padStart(4, '0')}`;
}
