/** The schema in the form that editors read: completion, hover texts and red lines in a YAML file. */
import { z } from 'zod';
import { runConfigSchema } from './schema.ts';

/** JSON Schema (draft 2020-12) of what a person may write. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(runConfigSchema(), {
    io: 'input',
    override: dropSafeIntegerBounds,
  });
  return { $schema, title: 'A run of tms', ...rest };
}

/** zod bounds every whole number by 2^53; nobody reading a configuration needs to know. */
function dropSafeIntegerBounds({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
}
