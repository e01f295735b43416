/** zod schemas → msgspec structs, field for field in the same order. */
import { z } from 'zod';
import {
  errorCodes,
  limits,
  protocolVersion,
  type TensorSpec,
  type VerbName,
  verbs,
} from '../src/worker/protocol.ts';

type Schema = {
  type?: string | string[];
  description?: string;
  id?: string;
  $ref?: string;
  $defs?: Record<string, Schema>;
  enum?: string[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  minItems?: number;
};

export function pythonModule(): string {
  const structs = new Map<string, string>();
  const rows = (Object.keys(verbs) as VerbName[]).map(name => {
    const { params, result, tensors, resultTensors } = verbs[name];
    const paramsName = addStructs(`${capital(name)}Params`, params, `Parameters of \`${name}\`.`, structs);
    const resultName = addStructs(`${capital(name)}Result`, result, `Result of \`${name}\`.`, structs);
    return `    "${name}": Verb(${paramsName}, ${tensorSpecs(tensors)}, ${resultName}, ${tensorSpecs(resultTensors)}),`;
  });
  return [header(), ...structs.values(), verbTable(rows)].join('\n\n');
}

function header(): string {
  const codes = Object.keys(errorCodes).map(code => `    "${code}",`);
  return `"""Structs of the wire protocol. GENERATED from src/worker/protocol.ts by \`npm run protocol\`: do not edit."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

PROTOCOL_VERSION = ${protocolVersion}
MAX_HEADER_BYTES = ${limits.headerBytes}
MAX_TENSORS = ${limits.tensors}
MAX_TENSOR_BYTES = ${limits.tensorBytes}

ErrorCode = Literal[
${codes.join('\n')}
]
`;
}

function verbTable(rows: string[]): string {
  return `class Tensor(NamedTuple):
    """One tensor of a verb; \`dtype\` as on the wire."""

    dtype: str
    rank: int
    required: bool


class Verb(NamedTuple):
    """What a verb takes and gives."""

    params: type[msgspec.Struct]
    tensors: dict[str, Tensor]
    result: type[msgspec.Struct]
    result_tensors: dict[str, Tensor]


VERBS: dict[str, Verb] = {
${rows.join('\n')}
}
`;
}

/** Add the structs that `schema` needs, dependencies first, and return the name of its own. */
function addStructs(fallback: string, schema: z.ZodType, doc: string, structs: Map<string, string>): string {
  const root = z.toJSONSchema(schema, { io: 'output' }) as Schema;
  for (const [id, definition] of Object.entries(root.$defs ?? {}))
    if (!structs.has(id)) structs.set(id, struct(id, definition, definition.description ?? `${id} record.`));
  const name = root.$ref ? root.$ref.split('/').at(-1) : (root.id ?? fallback);
  if (name === undefined) throw new Error(`${fallback}: no name for its schema`);
  if (!structs.has(name)) structs.set(name, struct(name, root, root.description ?? doc));
  return name;
}

function struct(name: string, schema: Schema, doc: string): string {
  const fields = Object.entries(schema.properties ?? {}).map(
    ([key, field]) => `    ${snake(key)}: ${pythonType(field)}`,
  );
  const options = 'frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"';
  const head = `class ${name}(msgspec.Struct, ${options}):\n    """${sentence(doc)}"""\n`;
  return fields.length > 0 ? `${head}\n${fields.join('\n')}\n` : head;
}

function pythonType(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? 'Any';
  if (schema.enum) return `Literal[${schema.enum.map(value => `"${value}"`).join(', ')}]`;
  if (Array.isArray(schema.type)) return schema.type.map(type => pythonType({ ...schema, type })).join(' | ');
  if (schema.anyOf) return schema.anyOf.map(pythonType).join(' | ');
  switch (schema.type) {
    case 'null':
      return 'None';
    case 'boolean':
      return 'bool';
    case 'string':
      return constrained('str', { min_length: schema.minLength });
    case 'integer':
      return constrained('int', { ge: safe(schema.minimum), le: safe(schema.maximum) });
    case 'number':
      return constrained('float', {
        ge: schema.minimum,
        gt: schema.exclusiveMinimum,
        le: schema.maximum,
        lt: schema.exclusiveMaximum,
      });
    case 'array':
      return constrained(`list[${pythonType(schema.items ?? {})}]`, { min_length: schema.minItems });
    case 'object':
      return `dict[str, ${typeof schema.additionalProperties === 'object' ? pythonType(schema.additionalProperties) : 'Any'}]`;
    default:
      return 'Any';
  }
}

/** zod states the bounds of safe integers; they say nothing. */
function safe(bound: number | undefined): number | undefined {
  return bound !== undefined && Math.abs(bound) === Number.MAX_SAFE_INTEGER ? undefined : bound;
}

function constrained(type: string, bounds: Record<string, number | undefined>): string {
  const given = Object.entries(bounds).filter(([, bound]) => bound !== undefined && !Number.isNaN(bound));
  if (given.length === 0) return type;
  return `Annotated[${type}, msgspec.Meta(${given.map(([key, bound]) => `${key}=${bound}`).join(', ')})]`;
}

function tensorSpecs(specs: Readonly<Record<string, TensorSpec>>): string {
  const entries = Object.entries(specs).map(
    ([name, { dtype, rank, required }]) =>
      `"${name}": Tensor("${dtype}", ${rank}, ${required ? 'True' : 'False'})`,
  );
  return `{${entries.join(', ')}}`;
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function sentence(doc: string): string {
  const text = doc.charAt(0).toUpperCase() + doc.slice(1);
  return /\.$/.test(text) ? text : `${text}.`;
}
