/** The figure of how far a model is from the base: KL both ways, and its entropy. */
import { overStepsPanel } from './charts.ts';
import { type Figure, lettered } from './figure.ts';
import { counted } from './format.ts';
import { lastPoint } from './points.ts';
import type { Analysis } from './rows.ts';

/** Panels of what was measured. */
export function distance(analysis: Analysis): Figure {
  const panel = (prompts: 'target' | 'retention') =>
    overStepsPanel(analysis, {
      label: `KL(base‖model) on ${prompts} prompts over steps`,
      y: `KL(base‖model), ${prompts} prompts`,
      measure: point => point.kl[prompts]?.perSequence ?? null,
    });
  const own = (prompts: 'target' | 'retention') =>
    overStepsPanel(analysis, {
      label: `KL(model‖base) on ${prompts} prompts over steps`,
      y: `KL(model‖base), ${prompts} prompts`,
      measure: point => point.own?.[prompts]?.perSequence ?? null,
    });
  const entropy = overStepsPanel(analysis, {
    label: 'Entropy of answers to retention prompts over steps',
    y: 'entropy, retention prompts',
    measure: point => point.own?.retention?.entropyPerToken ?? null,
  });
  const last = analysis.curves.map(lastPoint).find(point => point !== null);
  const samples = (prompts: 'target' | 'retention') => counted(last?.kl[prompts]?.samples ?? 0, 'sample');
  return {
    id: 'kl',
    title: 'Distance from the base model',
    shortTitle: 'KL',
    legend: 'all',
    ...lettered(
      [
        { panel: panel('target'), text: `${samples('target')} on target prompts.` },
        { panel: panel('retention'), text: `${samples('retention')} on retention prompts.` },
        { panel: own('target'), text: 'the other way, on answers of the model to target prompts;' },
        { panel: own('retention'), text: 'and to retention prompts.' },
        { panel: entropy, text: 'nats per token of those answers.' },
      ],
      {
        before:
          'KL(base‖model) in nats per sequence: mean of log π_base − log π over stored samples of the base,',
        after:
          'This direction asks how improbable the base’s own answers have become. Scales differ between panels.',
      },
    ),
  };
}
