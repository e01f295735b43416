/** How this machine will compute a run, in the words of the configuration. */
import type { RunConfig } from '../config/schema.ts';
import type { Numerics } from '../run/numerics.ts';
import type { ModelInfo, Result } from '../worker/protocol.ts';

/** Every key that affects numerics, as it turned out here, and what decides the last bits beside them. */
export function currentNumerics(
  { determinism, gradient_checkpointing, sampler, worker }: RunConfig,
  model: ModelInfo,
  { versions, threads, deviceName, determinism: settings }: Result<'status'>,
): Numerics {
  return {
    determinism,
    attn_implementation: model.attention,
    gradient_checkpointing,
    'worker.device': model.device,
    'worker.token_budget': worker.token_budget,
    'worker.threads': model.device === 'cpu' ? threads : null,
    // Under strict sampling an answer never depends on its batch.
    'sampler.max_rows': model.strictSampling ? 'any' : sampler.max_rows,
    'strict sampling': model.strictSampling,
    'compute dtype': model.computeDtype,
    layout: model.layout,
    'device name': deviceName,
    torch: versions.torch ?? '',
    transformers: versions.transformers ?? '',
    MKL_CBWR: settings.MKL_CBWR ?? '',
  };
}
