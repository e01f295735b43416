/** What the plan needs to reckon with the memory of a run. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir, totalmem } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { RunConfig } from '../config/schema.ts';
import { readRecord } from '../files/read-record.ts';
import type { MemoryFacts, ModelShape } from '../plan/memory.ts';
import type { ModelInfo, Result } from '../worker/protocol.ts';

/** Of a loaded model, with what the plan decides. */
export function memoryFacts(
  config: RunConfig,
  model: ModelInfo,
  { status, ...decided }: { readonly status: Result<'status'> } & Pick<MemoryFacts, 'slots' | 'reference'>,
): MemoryFacts {
  const device = model.device.startsWith('cuda') ? 'cuda' : 'cpu';
  return {
    parameters: model.parameterCount,
    trainable: model.trainableParameterCount,
    isAdapter: config.use_peft,
    quantizedBits: config.load_in_4bit ? bitsOfWeight(config.use_bnb_nested_quant) : null,
    dtype: precision(model.dtype),
    computeDtype: precision(model.computeDtype),
    optim: config.optim,
    isCheckpointed: model.gradientCheckpointing,
    tokens: Math.max(model.tokenBudget, config.max_length),
    vocabSize: model.vocabSize,
    shape: shapeOf(config),
    ...decided,
    device,
    deviceBytes: device === 'cuda' ? status.deviceTotalBytes : machineBytes(),
  };
}

/** A float32 scale for each 64 weights; nested in 8 bits, with one of float32 for 256 of them (arXiv 2305.14314, section 3). */
function bitsOfWeight(isNested: boolean): number {
  return 4 + (isNested ? 8 / 64 + 32 / (64 * 256) : 32 / 64);
}

function precision(dtype: string): 'float32' | 'bfloat16' {
  return dtype === 'float32' ? 'float32' : 'bfloat16';
}

/** What this process may have of the machine's memory: a container has less. */
function machineBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

const count = z.int().positive();
const decoder = z.object({
  num_hidden_layers: count,
  hidden_size: count,
  intermediate_size: count.nullish(),
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  tie_word_embeddings: z.boolean().nullish(),
});

/** From config.json of a directory, or of the copy that a hub id has here; null where there is none, or it has other words. */
function shapeOf(config: RunConfig): ModelShape | null {
  const path = configPath(config);
  const { value } = path === null ? { value: null } : readRecord(path, decoder);
  if (value === null) return null;
  const { hidden_size: features, num_attention_heads: heads } = value;
  return {
    layers: value.num_hidden_layers,
    features,
    units: value.intermediate_size ?? 4 * features,
    heads,
    keyHeads: value.num_key_value_heads ?? heads,
    headSize: value.head_dim ?? features / heads,
    isTied: value.tie_word_embeddings ?? true,
  };
}

function configPath({ model_name_or_path: model, model_revision }: RunConfig): string | null {
  const local = join(model, 'config.json');
  if (existsSync(local)) return local;
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  const folder = join(HF_HUB_CACHE ?? join(home, 'hub'), `models--${model.replaceAll('/', '--')}`);
  const ref = join(folder, 'refs', model_revision);
  const commit = existsSync(ref) ? readFileSync(ref, 'utf8').trim() : model_revision;
  const copy = join(folder, 'snapshots', commit, 'config.json');
  return existsSync(copy) ? copy : null;
}
