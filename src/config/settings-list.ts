/** All settings as a flat list: for suggestions, the guessed list and documentation. */
import type { z } from 'zod';
import { runConfigSchema } from './schema.ts';
import type { SettingMeta } from './setting.ts';

/** A key at the end of a path; a list is one setting, and what its entries hold follows as `path.*.key`. */
export type Setting = SettingMeta & { readonly path: string };

/** Every setting of the schema, in its order. */
export function listSettings(schema: z.ZodType = runConfigSchema, prefix = ''): Setting[] {
  return Object.entries(shapeOf(schema)).flatMap(([key, child]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const isList = unwrap(child).def.type === 'array';
    const below = listSettings(isList ? elementOf(child) : child, isList ? `${path}.*` : path);
    return [{ ...(child.meta() as SettingMeta), path }, ...below];
  });
}

/** The keys allowed at a path of names and list positions; empty where anything or nothing is allowed. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: z.ZodType = runConfigSchema;
  for (const part of path) {
    const next = typeof part === 'number' ? elementOf(schema) : shapeOf(schema)[String(part)];
    if (next === undefined) return [];
    schema = next;
  }
  return Object.keys(shapeOf(schema));
}

type Definition = {
  type: string;
  innerType?: z.ZodType;
  element?: z.ZodType;
  shape?: Record<string, z.ZodType>;
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
