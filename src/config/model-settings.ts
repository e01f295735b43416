import { statSync } from 'node:fs';
import { z } from 'zod';
import { is, readWhen, type ValueTest } from './condition.ts';
import { affects, guessed, text, trl } from './setting.ts';

const isHubId: ValueTest = {
  holds: value => !isDirectory(String(value)),
  wanted: key => `a hub id as ${key}`,
  because: (key, value) => `${key} is a directory (${value})`,
};
const with4Bit = { load_in_4bit: is(true) };
const withPeft = { use_peft: is(true) };

/** Which model is fine-tuned, in what precision, and whether all weights or a LoRA adapter learn. */
export const modelSettings = {
  model_name_or_path: trl(text, 'Model to fine-tune: a local directory in Hugging Face layout, or a hub id.'),
  model_revision: readWhen(trl(text.default('main'), 'Branch, tag or commit of a hub id.'), {
    model_name_or_path: isHubId,
  }),
  dtype: trl(
    z.enum(['float32', 'bfloat16']).default('float32'),
    'Precision that the weights are held and updated in.',
  ),
  attn_implementation: affects(
    'numerics',
    trl(
      text.default('auto'),
      'Attention kernel by its transformers name: eager, sdpa, flash_attention_2, …; auto: what transformers chooses, and variable-length attention for packed rows on a GPU.',
    ),
  ),
  trust_remote_code: trl(
    z.boolean().default(false),
    'Run Python code that comes with the model. Only for models you trust.',
  ),
  use_peft: guessed(
    trl(z.boolean().default(false), 'Train a LoRA adapter (true) or all weights (false).'),
    'full fine-tuning, as in Retaining by Doing (arXiv 2510.18874)',
  ),
  lora_r: readWhen(trl(z.int().min(1).max(65_536).default(16), 'Rank of the LoRA matrices.'), withPeft),
  lora_alpha: readWhen(
    trl(z.number().positive().default(32), 'LoRA scale: the update is multiplied by lora_alpha / lora_r.'),
    withPeft,
  ),
  lora_dropout: readWhen(
    trl(z.number().min(0).lt(1).default(0.05), 'Dropout probability on the input of each LoRA layer.'),
    withPeft,
  ),
  lora_target_modules: readWhen(
    trl(
      z.array(text).min(1).nullable().default(null),
      'Names of the layers that get LoRA; null: every linear layer but the head (TRL: peft’s choice for the architecture).',
    ),
    withPeft,
  ),
  lora_modules_to_save: readWhen(
    trl(
      z.array(text).min(1).nullable().default(null),
      'Layers trained in full beside the adapter and saved with it, such as lm_head.',
    ),
    withPeft,
  ),
  use_rslora: readWhen(
    trl(z.boolean().default(false), 'Scale LoRA by lora_alpha / √lora_r (arXiv 2312.03732).'),
    withPeft,
  ),
  load_in_4bit: readWhen(
    trl(
      z.boolean().default(false),
      'Hold the weights under the adapter in 4 bits (QLoRA, arXiv 2305.14314), by bitsandbytes: `tms setup --with bitsandbytes`. What is ' +
        'computed with is as dtype and bf16 say. A merge takes the full weights of the base.',
    ),
    { use_peft: is(true), 'sampler.backend': is('torch') },
  ),
  bnb_4bit_quant_type: readWhen(
    trl(z.enum(['nf4', 'fp4']).default('nf4'), 'Values that 4 bits stand for: normal float, or float.'),
    with4Bit,
  ),
  use_bnb_nested_quant: readWhen(
    trl(z.boolean().default(false), 'Hold the scales of 4-bit weights in 8 bits: 0.37 bits a weight less.'),
    with4Bit,
  ),
  use_dora: readWhen(
    trl(
      z.boolean().default(false),
      'Learn the length of each row of a weight apart from its direction (DoRA, arXiv 2402.09353).',
    ),
    withPeft,
  ),
};

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
