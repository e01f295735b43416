/** Messages ⇄ ZeroMQ frames: one msgpack header, then one raw frame a tensor. Pure; no sockets. */
import { Packr, Unpackr } from 'msgpackr';
import { type ClientHeader, limits, type WorkerHeader, workerHeader } from './protocol.ts';
import { bytesPerElement, isDType, type Tensors, tensorBytes, tensorFromBytes } from './tensor.ts';
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
  return { header, tensors: readTensors(header.t === 'res' ? header.tz : [], rest) };
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
