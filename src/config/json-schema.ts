/** The schema in the form that editors read: completion, hover texts and red lines in a YAML file. */
import { z } from 'zod';
import { methodFile } from './import-method.ts';
import { runConfigSchema } from './schema.ts';

/** JSON Schema (draft 2020-12) of what a person may write. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(runConfigSchema(), {
    io: 'input',
    override: context => {
      dropSafeIntegerBounds(context);
      letTasksComplete(context);
    },
  });
  const { method, ...others } = rest.properties as { readonly method: z.core.JSONSchema.BaseSchema };
  return { $schema, title: 'A run of tms', ...rest, properties: { method: nameOrFile(method), ...others } };
}

/** The names of methods, or any path of a file that can hold one. */
function nameOrFile({ type, enum: names, ...rest }: z.core.JSONSchema.BaseSchema) {
  return { ...rest, anyOf: [{ enum: names }, { type, pattern: methodFile.source }] };
}

/** An evaluation set of a task has its name from there. */
function letTasksComplete({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.properties?.task === undefined) return;
  delete jsonSchema.required;
  jsonSchema.anyOf = [{ required: ['task'] }, { required: ['name', 'path'] }];
}

/** zod bounds every whole number by 2^53; nobody reading a configuration needs to know. */
function dropSafeIntegerBounds({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
}
