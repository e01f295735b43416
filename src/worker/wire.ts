/** Messages ⇄ ZeroMQ frames: one msgpack header, then one raw frame a tensor. Pure; no sockets. */
import { Packr, Unpackr } from 'msgpackr';
import type { z } from 'zod';
import type { Reply } from './channel.ts';
import {
  type ClientHeader,
  limits,
  type TensorSpec,
  type VerbName,
  verbs,
  type WorkerHeader,
  workerHeader,
} from './protocol.ts';
import { bytesPerElement, isDType, type Tensors, tensorBytes, tensorFromBytes } from './tensors.ts';
import { WorkerError } from './worker-error.ts';

// Without these the two sides disagree on maps, undefined and 64-bit integers. `auto` is missing in msgpackr's types.
const packr = new Packr({ useRecords: false, variableMapSize: true, encodeUndefinedAsNil: true });
const unpackOptions = { useRecords: false, mapsAsObjects: true, int64AsType: 'auto' };
const unpackr = new Unpackr(unpackOptions as unknown as ConstructorParameters<typeof Unpackr>[0]);

type TensorTable = [name: string, dtype: string, shape: number[]][];

/** Throws BAD_PARAMS when the message is larger than the worker takes, so that the connection survives. */
export function encodeMessage(header: ClientHeader, tensors: Tensors = {}): Buffer[] {
  const frames = Object.values(tensors).map(tensorBytes);
  // A pooled slice would pin 8 KiB for every small header and may not be touched until sent; a copy is cheap.
  const packed = Buffer.from(packr.pack(header));
  if (packed.length > limits.headerBytes) throw tooLarge('header', packed.length, limits.headerBytes);
  if (frames.length > limits.tensors) throw tooLarge('number of tensors', frames.length, limits.tensors);
  for (const [name, frame] of Object.keys(tensors).map((key, i) => [key, frames[i]] as const))
    if (frame && frame.length > limits.tensorBytes) throw tooLarge(name, frame.length, limits.tensorBytes);
  return [packed, ...frames];
}

/** Bytes of a value in a header. */
export function packedBytes(value: unknown): number {
  return packr.pack(value).length;
}

function tooLarge(what: string, found: number, most: number): WorkerError {
  return new WorkerError(
    'BAD_PARAMS',
    `message too large: ${what} is ${found}, at most ${most}; send fewer sequences`,
  );
}

export function tensorTable(tensors: Tensors): TensorTable {
  return Object.entries(tensors).map(([name, { dtype, shape }]) => [name, dtype, [...shape]]);
}

/** Throws BAD_MESSAGE with the failing path when the frames are not a message of the protocol. */
export function decodeMessage(frames: readonly Buffer[]): { header: WorkerHeader; tensors: Tensors } {
  const [head, ...rest] = frames;
  const parsed = workerHeader.safeParse(unpack(head));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw bad(`header at ${issue?.path.join('.') || 'top'}: ${issue?.message ?? 'invalid'}`);
  }
  const header = parsed.data;
  return { header, tensors: readTensors('tz' in header ? header.tz : [], rest) };
}

function unpack(head: Buffer | undefined): unknown {
  if (!head) throw bad('no frames');
  try {
    return unpackr.unpack(head);
  } catch (cause) {
    throw bad(`header is not msgpack: ${(cause as Error).message}`);
  }
}

function readTensors(
  table: readonly (readonly [string, string, number[]])[],
  frames: readonly Buffer[],
): Tensors {
  if (table.length !== frames.length)
    throw bad(`${table.length} tensors announced, ${frames.length} frames came`);
  const entries = table.map(([name, dtype, shape], i) => {
    const frame = frames[i];
    if (!frame || !isDType(dtype)) throw bad(`tensor ${name} has unknown element type ${dtype}`);
    const bytes = shape.reduce((product, size) => product * size, bytesPerElement(dtype));
    if (bytes !== frame.length)
      throw bad(`tensor ${name} [${shape}] ${dtype} needs ${bytes} bytes, got ${frame.length}`);
    return [name, tensorFromBytes(dtype, shape, frame)] as const;
  });
  return Object.fromEntries(entries);
}

function bad(message: string): WorkerError {
  return new WorkerError('BAD_MESSAGE', message);
}

// Requests and replies against protocol.ts: a wrong one is refused where it was made, with the failing path.

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

/** Throws UNSERIALIZABLE when a part of the worker's answer is not what the protocol promises. */
export function checkPart(verb: VerbName, tensors: Tensors): Tensors {
  const problem = tensorProblem(tensors, verbs[verb].resultTensors);
  if (problem === undefined) return tensors;
  throw new WorkerError('UNSERIALIZABLE', `a part of the worker's result: ${problem}`, { verb });
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
