/** Keys of the configuration as options of the worker. */
import type { RunConfig } from '../config/schema.ts';
import type { LoadOptions } from '../worker/worker.ts';

/** How every model of this run is loaded; whatever a digest depends on is in here. */
export function loadOptions(config: RunConfig): Omit<LoadOptions, 'model'> {
  const { worker } = config;
  return {
    revision: config.model_revision,
    dtype: config.dtype,
    ...(config.bf16 === null ? {} : { computeDtype: config.bf16 ? 'bfloat16' : config.dtype }),
    device: worker.device,
    attention: config.attn_implementation,
    trustRemoteCode: config.trust_remote_code,
    gradientCheckpointing: config.gradient_checkpointing,
    tokenBudget: worker.token_budget,
    determinism: config.determinism,
    threads: worker.threads,
    seed: config.seed,
  };
}

/** The LoRA adapter that a training starts with; null: all weights learn. */
export function newAdapter(config: RunConfig): NonNullable<LoadOptions['adapter']> | null {
  if (!config.use_peft) return null;
  return {
    r: config.lora_r,
    alpha: config.lora_alpha,
    dropout: config.lora_dropout,
    targetModules: config.lora_target_modules && [...config.lora_target_modules],
    modulesToSave: config.lora_modules_to_save && [...config.lora_modules_to_save],
    useRslora: config.use_rslora,
    seed: config.seed,
  };
}
