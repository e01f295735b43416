/** Requests cut by what a message can carry: bytes of its header and of its frames, never a number of texts or rows alone. */
import { limits, type Params } from './protocol.ts';
import type { Row } from './tensors.ts';
import { packedBytes } from './wire.ts';
import { WorkerError } from './worker-error.ts';

/** Values `start` to before `end` go into one request. */
export type Part = { readonly start: number; readonly end: number };

/** What one request takes: the sum of the sizes, and the number of values. */
export type PartLimits = { readonly size: number; readonly count: number };

/** Bytes of one message, as in the protocol; tests make them small. */
export type MessageLimits = { readonly headerBytes: number; readonly tensorBytes: number };

/** Consecutive parts within the limits; at least one, and a value over the limit by itself. */
export function partsOf(sizes: readonly number[], { size, count }: PartLimits): Part[] {
  const parts: Part[] = [];
  let [start, sum] = [0, 0];
  for (const [i, own] of sizes.entries()) {
    if (i > start && (sum + own > size || i - start >= count)) {
      parts.push({ start, end: i });
      [start, sum] = [i, 0];
    }
    sum += own;
  }
  return [...parts, { start, end: sizes.length }];
}

/** A request is cancelled, and its progress told, as a whole: more than so many examples would take long. */
const examplesOfRequest = 256;
/** The envelope of a header, generously. */
const envelopeBytes = 4096;

/** Parts of examples for `encode`, none for none. Throws BAD_PARAMS for an example that no message can carry. */
export function encodeParts({ examples, ...rest }: Params<'encode'>, { headerBytes }: MessageLimits): Part[] {
  if (examples.length === 0) return [];
  const room = headerBytes - envelopeBytes - packedBytes(rest);
  const sizes = examples.map(packedBytes);
  const problems = sizes.flatMap((size, index) => {
    const message = `has ${size} bytes of text; a message to the worker takes ${room}`;
    return size > room ? [{ index, message }] : [];
  });
  const [first] = problems;
  if (first === undefined) return partsOf(sizes, { size: room, count: examplesOfRequest });
  throw new WorkerError('BAD_PARAMS', `examples[${first.index}] ${first.message}`, {
    verb: 'encode',
    data: { index: first.index, reason: 'too_large', problems },
    fix: 'cut or leave out the text: no model reads one so long',
  });
}

/** A tensor element of ids and log-probabilities. */
const elementBytes = 4;
/** Ids whose texts fit a header, at 64 bytes each. */
const bytesOfText = 64;

/** Parts of rows whose values come back token by token, `values` of a kind for each. */
export function rowParts(rows: readonly Row[], { tensorBytes }: MessageLimits, values = 1): Part[] {
  const size = Math.floor(tensorBytes / elementBytes / values);
  return partsOf(rows.map(lengthOf), { size, count: Infinity });
}

/** Parts of rows whose texts come back in a header. */
export function decodeParts(rows: readonly Row[], { headerBytes }: MessageLimits): Part[] {
  return partsOf(rows.map(lengthOf), { size: Math.floor(headerBytes / bytesOfText), count: Infinity });
}

/** Parts of prompts: they, and answers of the full length, fit a frame. */
export function promptParts(
  prompts: readonly Row[],
  maxNewTokens: number,
  { tensorBytes }: MessageLimits,
): Part[] {
  const size = Math.floor(tensorBytes / elementBytes);
  return partsOf(prompts.map(lengthOf), { size, count: Math.max(1, Math.floor(size / maxNewTokens)) });
}

function lengthOf(row: Row): number {
  return row.length;
}

/** What a message takes by the protocol. */
export const protocolLimits: MessageLimits = limits;

/** The worker counts from the start of its part. */
export function shiftIndex(error: unknown, start: number): unknown {
  if (!(error instanceof WorkerError) || start === 0) return error;
  const { code, verb, type, trace, data, reason } = error;
  const index = typeof data?.index === 'number' ? { index: data.index + start } : {};
  const problems = Array.isArray(data?.problems)
    ? { problems: data.problems.map(problem => ({ ...problem, index: problem.index + start })) }
    : {};
  return new WorkerError(code, `counting from example ${start}: ${reason}`, {
    verb,
    type,
    trace,
    data: { ...data, ...index, ...problems },
    cause: error,
  });
}
