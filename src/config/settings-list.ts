/** All settings as a flat list: for suggestions, the guessed list and documentation. */
import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { readRules } from './condition.ts';
import { runConfigSchema } from './schema.ts';
import type { SettingMeta } from './setting.ts';

/** A key at the end of a path; a list is one setting, and what its entries hold follows as `path.*.key`. */
export type Setting = SettingMeta & { readonly path: string };

/** Every setting of the schema, in its order; what is said of when a block is read holds for what is in it. */
export function listSettings(
  schema: z.ZodType = runConfigSchema(),
  prefix = '',
  above?: SettingMeta,
): Setting[] {
  return Object.entries(shapeOf(schema)).flatMap(([key, child]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const meta = metaOf(child, above);
    const isList = unwrap(child).def.type === 'array';
    const below = listSettings(isList ? elementOf(child) : child, isList ? `${path}.*` : path, meta);
    return [{ ...meta, path }, ...below];
  });
}

/** A key of a user's own method, whose author gave no sentence for it. */
const unexplained: SettingMeta = { description: '', 'x-source': 'ours' };

function metaOf(schema: z.ZodType, above: SettingMeta | undefined): SettingMeta {
  const meta = (schema.meta() as SettingMeta | undefined) ?? unexplained;
  const rules = [...(above?.['x-read-when']?.rules ?? []), ...(meta['x-read-when']?.rules ?? [])];
  return rules.length === 0 ? meta : { ...meta, 'x-read-when': readRules(rules) };
}

/** A key that stands in a configuration, with its value there. */
export type PlacedSetting = {
  readonly path: readonly (string | number)[];
  readonly meta: SettingMeta;
  readonly value: unknown;
  /** Whether the value is what leaving the key out would give. */
  readonly isDefault: () => boolean;
  readonly isBlock: boolean;
};

/** Every key of `input` that the schema knows, blocks and entries of lists included, each before what is inside it. */
export function settingsIn(
  input: unknown,
  schema: z.ZodType = runConfigSchema(),
  { path, above }: { readonly path: PlacedSetting['path']; readonly above?: SettingMeta } = { path: [] },
): PlacedSetting[] {
  const within = (key: string | number, meta: SettingMeta | undefined) => ({
    path: [...path, key],
    ...(meta && { above: meta }),
  });
  if (Array.isArray(input))
    return input.flatMap((entry, i) => settingsIn(entry, elementOf(schema), within(i, above)));
  if (typeof input !== 'object' || input === null) return [];
  return Object.entries(shapeOf(schema)).flatMap(([key, child]) => {
    if (!Object.hasOwn(input, key)) return [];
    const value: unknown = (input as Record<string, unknown>)[key];
    const placed = { path: [...path, key], meta: metaOf(child, above), value };
    const isBlock = definition(unwrap(child)).shape !== undefined;
    const below = settingsIn(value, child, within(key, placed.meta));
    const isDefault = () => isDeepStrictEqual(value, child.safeParse(undefined).data);
    return [{ ...placed, isDefault, isBlock }, ...below];
  });
}

/** The keys allowed at a path of names and list positions; empty where anything or nothing is allowed. */
export function keysAt(path: readonly PropertyKey[], schema: z.ZodType = runConfigSchema()): string[] {
  const { options } = definition(unwrap(schema));
  if (options !== undefined) return [...new Set(options.flatMap(option => keysAt(path, option)))];
  const [part, ...rest] = path;
  const shape = shapeOf(schema);
  if (part === undefined) return Object.keys(shape);
  if (typeof part === 'number') return keysAt(rest, elementOf(schema));
  return Object.hasOwn(shape, part) ? keysAt(rest, shape[String(part)] as z.ZodType) : [];
}

type Definition = {
  type: string;
  innerType?: z.ZodType;
  element?: z.ZodType;
  shape?: Record<string, z.ZodType>;
  options?: readonly z.ZodType[];
};
const definition = (schema: z.ZodType): Definition => schema.def as unknown as Definition;

/** Without defaults and `null`. */
function unwrap(schema: z.ZodType): z.ZodType {
  const { innerType } = definition(schema);
  return innerType === undefined ? schema : unwrap(innerType);
}

function shapeOf(schema: z.ZodType): Record<string, z.ZodType> {
  return definition(unwrap(schema)).shape ?? {};
}

function elementOf(schema: z.ZodType): z.ZodType {
  return definition(unwrap(schema)).element ?? schema;
}
