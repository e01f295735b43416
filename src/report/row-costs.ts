/** Where a run's time and tokens went. Pure. */
import { baseName } from '../run/trainings.ts';
import type { Results } from './results.ts';

export type CostLine = {
  readonly training: string;
  readonly kind: Results['costs'][number]['kind'];
  readonly seconds: number;
  readonly tokens: number;
  /** Of the seconds of all lines. */
  readonly share: number;
};

const kinds = ['load', 'encode', 'train', 'answer', 'save', 'evaluate'] as const;

/** One line for each training and kind of work, in the order of a run. */
export function costLines({ costs, trainings }: Results): CostLine[] {
  const total = costs.reduce((sum, { seconds }) => sum + seconds, 0);
  const names = [baseName, ...trainings.map(({ name }) => name)];
  return names.flatMap(name =>
    kinds.flatMap(kind =>
      costs
        .filter(cost => cost.training === name && cost.kind === kind)
        .map(cost => ({ ...cost, share: total === 0 ? 0 : cost.seconds / total })),
    ),
  );
}

/** How the model that a run was made for is loaded in Python; null where there is none. */
export function loadingLines({ model: saved, config }: Results): string[] | null {
  if (saved === null) return null;
  const path = JSON.stringify(saved.path);
  const isAdapter = config?.use_peft === true;
  const library = isAdapter ? 'peft' : 'transformers';
  const model = isAdapter ? 'AutoPeftModelForCausalLM' : 'AutoModelForCausalLM';
  return [`from ${library} import ${model}`, `model = ${model}.from_pretrained(${path})`];
}
