/** Requests and replies against protocol.ts: a wrong one is refused where it was made, with the failing path. */
import type { z } from 'zod';
import type { Reply } from './channel.ts';
import { type TensorSpec, type VerbName, verbs } from './protocol.ts';
import type { Tensors } from './tensor.ts';
import { WorkerError } from './worker-error.ts';

/** Throws BAD_PARAMS. */
export function checkParams(verb: VerbName, params: unknown, tensors: Tensors): void {
  const parsed = verbs[verb].params.safeParse(params);
  if (!parsed.success) throw new WorkerError('BAD_PARAMS', describeIssues(parsed.error), { verb });
  const problem = tensorProblem(tensors, verbs[verb].tensors) ?? halfCharacterIn(params, '');
  if (problem) throw new WorkerError('BAD_PARAMS', problem, { verb });
}

/** Throws UNSERIALIZABLE when the worker's answer is not what the protocol promises. */
export function checkReply<V extends VerbName>(verb: V, result: unknown, tensors: Tensors): Reply<V> {
  const parsed = verbs[verb].result.safeParse(result);
  const problem = parsed.success
    ? tensorProblem(tensors, verbs[verb].resultTensors)
    : describeIssues(parsed.error);
  if (problem !== undefined)
    throw new WorkerError('UNSERIALIZABLE', `the worker's result: ${problem}`, { verb });
  return { result: parsed.data as Reply<V>['result'], tensors };
}

/** Half a character has no bytes in UTF-8: the other side could not read the message. */
function halfCharacterIn(value: unknown, path: string): string | undefined {
  if (typeof value === 'string')
    return /\p{Surrogate}/u.test(value) ? `half a character (a lone surrogate) → at ${path}` : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, entry] of Object.entries(value)) {
    const problem = halfCharacterIn(entry, path === '' ? key : `${path}.${key}`);
    if (problem) return problem;
  }
  return undefined;
}

function describeIssues(error: z.ZodError): string {
  return error.issues
    .map(({ path, message }) => `${message} → at ${path.join('.') || 'top level'}`)
    .join('; ');
}

function tensorProblem(tensors: Tensors, specs: Readonly<Record<string, TensorSpec>>): string | undefined {
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const spec = specs[name];
    if (!spec) return `unknown tensor ${name}`;
    if (dtype !== spec.dtype || shape.length !== spec.rank)
      return `tensor ${name} must be ${spec.dtype} of rank ${spec.rank}, got ${dtype} of rank ${shape.length}`;
    const size = shape.reduce((product, length) => product * length, 1);
    if (size !== data.length) return `tensor ${name} has shape [${shape}] but ${data.length} elements`;
  }
  const missing = Object.entries(specs).find(([name, { required }]) => required && !tensors[name]);
  return missing && `tensor ${missing[0]} is missing`;
}
