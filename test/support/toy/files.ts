/** Directories of the toy: JSON with a digest, complete under their name or not there at all. */
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
import type { Result } from '../../../src/worker/protocol.ts';
import { WorkerError } from '../../../src/worker/worker-error.ts';
import type { AdamwState } from './adamw.ts';
import { newBigram } from './bigram.ts';
import { refuse } from './refuse.ts';
import { vocabSize } from './tokens.ts';

/** What training continues from, beside the weights. */
export type TrainingState = { readonly steps: number; readonly adamw: AdamwState };

const weightsFile = 'toy-model.json';
const stateFile = 'training-state.json';

/** Write a directory that did not exist. Throws BAD_PARAMS where `path` holds anything, SAVE_FAILED where the disk refuses. */
export function saveModel(path: string, weights: Float32Array, state: TrainingState | null): Result<'save'> {
  const target = resolve(path);
  refuseOccupied(target);
  const temporary = temporaryName(target);
  try {
    mkdirSync(dirname(target), { recursive: true });
    mkdirSync(temporary);
    writeChecked(join(temporary, weightsFile), { weights: toBase64(weights) });
    if (state) writeChecked(join(temporary, stateFile), packState(state));
    const files = readdirSync(temporary)
      .sort()
      .map(name => describeFile(temporary, name));
    renameSync(temporary, target);
    const bytes = files.reduce((total, file) => total + file.bytes, 0);
    return { path: target, bytes, files, weightsDigest: weightsDigest(weights) };
  } catch (error) {
    if (existsSync(temporary)) rmSync(temporary, { recursive: true });
    throw new WorkerError('SAVE_FAILED', `${target} could not be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Weights from `toy:`, `toy:<seed>` or a directory that `saveModel` wrote. Throws NOT_FOUND or BAD_MODEL. */
export function loadWeights(model: string): Float32Array {
  const fresh = /^toy:(\d*)$/.exec(model);
  if (fresh) return newBigram(Number(fresh[1])).weights;
  if (isTemporaryName(model)) throw refuse('NOT_FOUND', `${model} is an unfinished save; delete it`);
  const file = join(model, weightsFile);
  if (!existsSync(file))
    throw refuse('NOT_FOUND', `model ${model} is neither toy:<seed> nor a directory with ${weightsFile}`);
  return readChecked(file, ({ weights }) => fromBase64(weights, vocabSize ** 2));
}

/** Throws NOT_FOUND where the directory holds weights only. */
export function loadTrainingState(model: string): TrainingState {
  const file = join(model, stateFile);
  if (!existsSync(file))
    throw refuse('NOT_FOUND', `${model} has no ${stateFile}: training cannot continue from it`);
  return readChecked(file, unpackState);
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

function describeFile(directory: string, name: string): Result<'save'>['files'][number] {
  const content = readFileSync(join(directory, name));
  return { name, bytes: content.length, sha256: sha256(content) };
}

function packState({ steps, adamw }: TrainingState): Record<string, unknown> {
  return { steps, adamw: { steps: adamw.steps, mean: toBase64(adamw.mean), square: toBase64(adamw.square) } };
}

function unpackState({ steps, adamw }: ReturnType<typeof JSON.parse>): TrainingState {
  const [mean, square] = [adamw.mean, adamw.square].map(text => fromBase64(text, vocabSize ** 2));
  return { steps, adamw: { steps: adamw.steps, mean: mean as Float32Array, square: square as Float32Array } };
}

function writeChecked(file: string, content: Record<string, unknown>): void {
  const digest = sha256(JSON.stringify(content));
  writeFileSync(file, `${JSON.stringify({ content, sha256: digest }, null, 2)}\n`);
}

function readChecked<T>(file: string, unpack: (content: ReturnType<typeof JSON.parse>) => T): T {
  try {
    const { content, sha256: expected } = JSON.parse(readFileSync(file, 'utf8'));
    if (sha256(JSON.stringify(content)) !== expected) throw new Error('its content does not fit its digest');
    return unpack(content);
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
