/** One run, as a person writes it: every key with its type, its default and its one explanation. */
import { z } from 'zod';
import { dataSettings, seedSettings } from './data-settings.ts';
import { controlSettings, evaluationSettings } from './evaluation-settings.ts';
import { determinismSetting, samplerSettings, workerSettings } from './machine-settings.ts';
import { modelSettings } from './model-settings.ts';
import { ours } from './setting.ts';
import { tmsSettings } from './tms-settings.ts';
import { outputSettings, trainingSettings } from './training-settings.ts';

export const runConfigSchema = z.strictObject({
  method: ours(
    z.enum(['sft', 'tms']).default('tms'),
    'sft: fine-tune only. tms: fine-tune, let the checkpoints answer, train the student.',
  ),
  ...outputSettings,
  ...modelSettings,
  ...dataSettings,
  ...trainingSettings,
  ...seedSettings,
  determinism: determinismSetting,
  tms: ours(tmsSettings, 'Trajectory-Mixed Supervision.'),
  sampler: ours(samplerSettings, 'What generates answers.'),
  ...evaluationSettings,
  controls: ours(controlSettings, 'Control runs beside the main one.'),
  worker: ours(workerSettings, 'The Python process that holds the model.'),
});

/** A complete, checked configuration. Keys are those of the file. */
export type RunConfig = DeepReadonly<z.output<typeof runConfigSchema>>;

export type DeepReadonly<T> = T extends (infer U)[]
  ? readonly DeepReadonly<U>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;
