/** Keys of the configuration as options of the worker. */
import type { RunConfig } from '../config/schema.ts';
import type { LoadOptions } from '../worker/worker.ts';

/** How every model of this run is loaded; whatever a digest depends on is in here. */
export function loadOptions(config: RunConfig): Omit<LoadOptions, 'model'> {
  const { worker } = config;
  return {
    revision: config.model_revision,
    dtype: config.dtype,
    computeDtype: computeDtype(config),
    rounding: config.weight_rounding,
    device: worker.device,
    attention: config.attn_implementation,
    trustRemoteCode: config.trust_remote_code,
    quantization: config.load_in_4bit
      ? { quantType: config.bnb_4bit_quant_type, doubleQuant: config.use_bnb_nested_quant }
      : null,
    gradientCheckpointing: config.gradient_checkpointing,
    torchCompile: config.torch_compile,
    tokenBudget: worker.token_budget,
    determinism: config.determinism,
    strictSampling: config.sampler.strict,
    threads: worker.threads,
    seed: config.seed,
  };
}

/** Whether a library is asked that is another with every version of it. */
export function usesBitsandbytes({ optim, load_in_4bit }: RunConfig): boolean {
  return optim === 'adamw_8bit' || load_in_4bit;
}

/** Null leaves it to the worker, which knows the device; weights in bfloat16 are computed with as they are. */
function computeDtype({ dtype, bf16 }: RunConfig): NonNullable<LoadOptions['computeDtype']> {
  if (dtype === 'bfloat16') return dtype;
  return bf16 === null ? 'auto' : bf16 ? 'bfloat16' : 'float32';
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
    useDora: config.use_dora,
    seed: config.seed,
  };
}
