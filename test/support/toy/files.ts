/** Directories of the toy: JSON and a list of its digests, complete under their name or not there at all. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isTemporaryName, temporaryName } from '../../../src/files/temporary-name.ts';
import type { Params, Result } from '../../../src/worker/protocol.ts';
import { WorkerError } from '../../../src/worker/worker-error.ts';
import type { AdamwState } from './adamw.ts';
import { newBigram } from './bigram.ts';
import { refuse } from './refuse.ts';
import { vocabSize } from './tokens.ts';

/** What training continues from, beside the weights. */
export type TrainingState = {
  readonly steps: number;
  readonly adamw: AdamwState;
  readonly kept: Float32Array | null;
};

const weightsFile = 'toy-model.json';
const stateFile = 'training-state.json';
const manifestFile = 'saved_files.json';

/** Write a directory that did not exist. Throws BAD_PARAMS where `path` holds anything, SAVE_FAILED where the disk refuses. */
export function saveModel(path: string, weights: Float32Array, state: TrainingState | null): Result<'save'> {
  const target = resolve(path);
  refuseOccupied(target);
  const temporary = temporaryName(target);
  try {
    mkdirSync(dirname(target), { recursive: true });
    mkdirSync(temporary);
    const digest = weightsDigest(weights);
    writeJson(join(temporary, weightsFile), { weights: toBase64(weights) });
    if (state) writeJson(join(temporary, stateFile), packState(state));
    const written = Object.fromEntries(describeFiles(temporary).map(({ name, sha256 }) => [name, sha256]));
    writeJson(join(temporary, manifestFile), { weightsDigest: digest, sha256: written });
    const files = describeFiles(temporary);
    renameSync(temporary, target);
    const bytes = files.reduce((total, file) => total + file.bytes, 0);
    return { path: target, bytes, files, weightsDigest: digest };
  } catch (error) {
    if (existsSync(temporary)) rmSync(temporary, { recursive: true });
    throw new WorkerError('SAVE_FAILED', `${target} could not be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Throws BAD_MODEL with the reason `damaged` where a saved file changed since, or the weights are not the expected ones. */
export function requireAsSaved(model: string, expectedDigest: string | null): void {
  const names = [manifestFile, stateFile].map(name => join(model, name));
  const [manifest = ''] = names;
  if (!names.some(existsSync)) return;
  const { weightsDigest: recorded, sha256: digests } = readManifest(manifest);
  if (expectedDigest !== null && recorded !== expectedDigest)
    throw damaged(manifest, `weights ${recorded}`, `weights ${expectedDigest}`);
  for (const [name, expected] of Object.entries(digests)) {
    const file = join(model, name);
    const found = existsSync(file) ? sha256(readFileSync(file)) : 'nothing';
    if (found !== expected) throw damaged(file, found, String(expected));
  }
}

export function damaged(path: string, found: string, expected: string): WorkerError {
  const data = { path, reason: 'damaged', found, expected };
  return refuse('BAD_MODEL', `${path} is damaged: ${found} found, ${expected} expected`, data);
}

/** Each weight becomes (1 − share) of its own and share of the other model's. */
export function blendWeights(
  weights: Float32Array,
  { model, revision, share }: NonNullable<Params<'load'>['blend']>,
): void {
  const other = loadWeights(model, revision);
  for (const [i, weight] of weights.entries()) weights[i] = (1 - share) * weight + share * (other[i] ?? 0);
}

/** Weights from `toy:`, `toy:<seed>` or a directory that `saveModel` wrote. Revision `r7` of `toy:1` is `toy:8`. Throws NOT_FOUND or BAD_MODEL. */
export function loadWeights(model: string, revision: string | null = null): Float32Array {
  const fresh = /^toy:(\d*)$/.exec(model);
  const further = /^r(\d+)$/.exec(revision ?? '');
  if (fresh) return newBigram(Number(fresh[1]) + Number(further?.[1] ?? 0)).weights;
  if (isTemporaryName(model)) throw refuse('NOT_FOUND', `${model} is an unfinished save; delete it`);
  const file = join(model, weightsFile);
  if (!existsSync(file))
    throw refuse('NOT_FOUND', `model ${model} is neither toy:<seed> nor a directory with ${weightsFile}`);
  return readJson(file, ({ weights }) => fromBase64(weights, vocabSize ** 2));
}

/** Throws NOT_FOUND where the directory holds weights only. */
export function loadTrainingState(model: string): TrainingState {
  const file = join(model, stateFile);
  if (!existsSync(file))
    throw refuse('NOT_FOUND', `${model} has no ${stateFile}: training cannot continue from it`);
  return readJson(file, unpackState);
}

export function weightsDigest(weights: Float32Array): string {
  return sha256(bytesOf(weights));
}

/** An empty directory may be filled. */
function refuseOccupied(target: string): void {
  if (!existsSync(target) || (statSync(target).isDirectory() && readdirSync(target).length === 0)) return;
  throw refuse('BAD_PARAMS', `path ${target} exists; nothing is overwritten: give a new directory`, {
    path: target,
    reason: 'exists',
  });
}

function describeFiles(directory: string): Result<'save'>['files'] {
  return readdirSync(directory)
    .sort()
    .map(name => {
      const content = readFileSync(join(directory, name));
      return { name, bytes: content.length, sha256: sha256(content) };
    });
}

function readManifest(path: string): { weightsDigest: string; sha256: Record<string, string> } {
  try {
    const { weightsDigest: digest, sha256: digests } = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof digest === 'string' && digests) return { weightsDigest: digest, sha256: digests };
  } catch {
    // no JSON, or not there: both are said below
  }
  throw damaged(path, 'something else', 'a list of files');
}

function packState({ steps, adamw, kept }: TrainingState): Record<string, unknown> {
  const moments = { steps: adamw.steps, mean: toBase64(adamw.mean), square: toBase64(adamw.square) };
  return { steps, adamw: moments, kept: kept && toBase64(kept) };
}

function unpackState({ steps, adamw, kept }: ReturnType<typeof JSON.parse>): TrainingState {
  const [mean, square] = [adamw.mean, adamw.square].map(text => fromBase64(text, vocabSize ** 2));
  const moments = { steps: adamw.steps, mean: mean as Float32Array, square: square as Float32Array };
  return { steps, adamw: moments, kept: kept && fromBase64(kept, vocabSize ** 2) };
}

function writeJson(file: string, content: Record<string, unknown>): void {
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
}

function readJson<T>(file: string, unpack: (content: ReturnType<typeof JSON.parse>) => T): T {
  try {
    return unpack(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw refuse('BAD_MODEL', `${file} is broken: ${(error as Error).message}`, { file });
  }
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

function toBase64(values: Float32Array): string {
  return bytesOf(values).toString('base64');
}

function fromBase64(text: string, length: number): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64')); // a copy, so that it is aligned
  if (bytes.length !== 4 * length)
    throw new Error(`${4 * length} bytes of numbers expected, ${bytes.length} found`);
  return new Float32Array(bytes.buffer);
}
