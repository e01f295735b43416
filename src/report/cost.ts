/** Where a run's time and tokens went. Pure. */
import type { Results } from './results.ts';

export type CostLine = {
  readonly stage: Results['costs'][number]['stage'];
  readonly kind: Results['costs'][number]['kind'];
  readonly seconds: number;
  readonly tokens: number;
  /** Of the seconds of all lines. */
  readonly share: number;
};

const stages = ['base', 'sft', 'control', 'student'] as const;
const kinds = ['load', 'encode', 'train', 'answer', 'save', 'evaluate'] as const;

/** One line for each stage and kind of work, in the order of a run. */
export function costLines({ costs }: Results): CostLine[] {
  const total = costs.reduce((sum, { seconds }) => sum + seconds, 0);
  return stages.flatMap(stage =>
    kinds.flatMap(kind =>
      costs
        .filter(cost => cost.stage === stage && cost.kind === kind)
        .map(cost => ({ ...cost, share: total === 0 ? 0 : cost.seconds / total })),
    ),
  );
}

/** How a trained model is loaded in Python; null where there is none. */
export function loadingLines({ modelPath, config }: Results): string[] | null {
  if (modelPath === null) return null;
  const path = JSON.stringify(modelPath);
  const isAdapter = config?.use_peft === true;
  const library = isAdapter ? 'peft' : 'transformers';
  const model = isAdapter ? 'AutoPeftModelForCausalLM' : 'AutoModelForCausalLM';
  return [`from ${library} import ${model}`, `model = ${model}.from_pretrained(${path})`];
}
