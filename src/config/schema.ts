/** One run, as a person writes it: every key with its type, its default and its one explanation. */
import { z } from 'zod';
import { type KnownMethod, knownMethods } from '../methods/index.ts';
import { blockOf, type Method } from '../methods/method.ts';
import { type Condition, is, readWhen } from './condition.ts';
import { dataSettings, seedSettings } from './data-settings.ts';
import { controlSettings, evaluationSettings } from './evaluation-settings.ts';
import {
  determinismSetting,
  placementSettings,
  samplerSettings,
  workerSettings,
} from './machine-settings.ts';
import { modelSettings } from './model-settings.ts';
import { ours } from './setting.ts';
import { outputSettings, trainingSettings } from './training-settings.ts';

/** What every method has. */
const shared = {
  ...outputSettings,
  ...modelSettings,
  ...dataSettings,
  ...trainingSettings,
  ...seedSettings,
  determinism: determinismSetting,
  sampler: ours(samplerSettings, 'What generates answers.'),
  ...evaluationSettings,
  controls: ours(controlSettings, 'Control runs beside the main one.'),
  placement: ours(placementSettings, 'Where an engine places samplers.'),
  worker: ours(workerSettings, 'The Python process that holds the model.'),
};

let built: { readonly of: readonly KnownMethod[]; readonly schema: z.ZodType<RunConfig> } | null = null;

/** The shared keys, `method`, and a block for each method that there is. */
export function runConfigSchema(): z.ZodType<RunConfig> {
  const methods = knownMethods();
  if (built?.of !== methods) built = { of: methods, schema: schemaWith(methods) };
  return built.schema;
}

function schemaWith(methods: readonly KnownMethod[]): z.ZodType<RunConfig> {
  const [first = '', ...others] = methods.map(({ key }) => key);
  const titles = methods.map(({ key, method }) => `${key}: ${method.title}`).join(' ');
  const blocks = methods.flatMap(({ method }) => {
    if (method.settings === undefined) return [];
    const keys = methods.filter(other => other.method.name === method.name).map(({ key }) => key);
    return [[blockOf(method), blockSetting(method, method.settings, keys)] as const];
  });
  return z.strictObject({
    method: ours(
      z.enum([first, ...others]).default('tms'),
      `What is trained, in which order. ${titles} Or a file of your own that exports one (.ts, .mjs).`,
    ),
    ...shared,
    ...Object.fromEntries(blocks),
  }) as unknown as z.ZodType<RunConfig>;
}

/** Read when its method is the one of the run, or runs beside it. A file may be named by more than one path. */
function blockSetting(method: Method, settings: z.ZodType, keys: readonly string[]): z.ZodType {
  const isMain: Condition = { method: is(...keys) };
  const beside = method.control === undefined ? [] : [{ [`controls.${method.control}`]: is(true) }];
  return readWhen(ours(settings, method.title), isMain, ...beside);
}

/** A complete, checked configuration. Keys are those of the file; blocks of methods are read by `settingsOf`. */
export type RunConfig = DeepReadonly<z.output<z.ZodObject<typeof shared>>> & { readonly method: string };

/** The method's own block. */
export function settingsOf<S>(config: RunConfig, method: Method<S>): S {
  return (config as unknown as Record<string, S>)[blockOf(method)] as S;
}

export type DeepReadonly<T> = T extends (infer U)[]
  ? readonly DeepReadonly<U>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;
