import { z } from 'zod';
import { above, atMost, is, isGiven, isNot, isNotGiven, readWhen } from './condition.ts';
import { affects, count, epochs, fraction, guessed, ours, positive, text, trl } from './setting.ts';

const retaining = 'Retaining by Doing (arXiv 2510.18874)';

const withWarmup = { lr_scheduler_type: isNot('constant') };
/** Muon takes the matrices; with LoRA nothing else is left, unless whole layers are trained beside the adapter. */
const withAdamw = [
  { optim: isNot('muon') },
  { use_peft: is(false) },
  { lora_modules_to_save: isGiven },
] as const;

/** The optimiser, its schedule and the size of a step; the student has the same unless `tms.student` says otherwise. */
export const trainingSettings = {
  learning_rate: guessed(
    trl(z.number().positive().default(2e-5), 'Peak learning rate.'),
    `1e-4 for 1–1.5B and 5e-5 above in ${retaining}; sweep it, because forgetting follows it`,
  ),
  lr_scheduler_type: guessed(
    trl(
      z.enum(['constant', 'constant_with_warmup', 'linear', 'cosine']).default('linear'),
      'Shape of the learning rate over the steps, as in transformers.',
    ),
    `cosine in ${retaining}`,
  ),
  warmup_steps: readWhen(
    guessed(
      trl(
        z.number().min(0).default(0),
        'Steps over which the learning rate rises from 0: a number, or a share of all when below 1.',
      ),
      `3 % of the steps in ${retaining}`,
    ),
    { ...withWarmup, warmup_ratio: isNotGiven },
  ),
  warmup_ratio: readWhen(
    trl(
      fraction.nullable().default(null),
      'Warm-up as a share of all steps, in place of warmup_steps (deprecated in transformers 5).',
    ),
    withWarmup,
  ),
  num_train_epochs: readWhen(
    guessed(trl(epochs.default(3), 'Passes over the training examples.'), `2 in ${retaining}`),
    { max_steps: atMost(0) },
  ),
  max_steps: trl(
    z.int().min(-1).max(1e9).default(-1),
    'Number of optimiser steps in place of num_train_epochs; -1: not used.',
  ),
  per_device_train_batch_size: guessed(
    trl(
      positive.default(8),
      'Examples of a batch. The split into micro-batches is the worker’s and changes nothing.',
    ),
    `global batch 256 in ${retaining}`,
  ),
  gradient_accumulation_steps: trl(positive.default(1), 'Batches of one optimiser step.'),
  weight_decay: guessed(
    trl(z.number().min(0).default(0), 'Decoupled weight decay, of matrices: norms and biases have none.'),
    `0 in ${retaining}`,
  ),
  adam_beta1: readWhen(
    guessed(trl(z.number().min(0).lt(1).default(0.9), 'Decay of the first moment.'), `0.9 in ${retaining}`),
    ...withAdamw,
  ),
  adam_beta2: readWhen(
    guessed(
      trl(z.number().min(0).lt(1).default(0.999), 'Decay of the second moment.'),
      `0.95 in ${retaining}`,
    ),
    ...withAdamw,
  ),
  adam_epsilon: readWhen(
    trl(z.number().positive().default(1e-8), 'Added to the root of the second moment.'),
    ...withAdamw,
  ),
  max_grad_norm: guessed(
    trl(z.number().min(0).default(1), 'Gradients are scaled down to this norm; 0: never.'),
    `1.0 in ${retaining}`,
  ),
  optim: guessed(
    trl(
      z.enum(['adamw_torch', 'adamw_8bit', 'muon']).default('adamw_torch'),
      'Optimiser: AdamW; AdamW with moments in 8 bits, a quarter of their memory (`tms setup --with bitsandbytes`); or Muon ' +
        'for 2-D weights and AdamW for the rest (transformers: adamw_torch_fused).',
    ),
    `AdamW in ${retaining}`,
  ),
  gradient_checkpointing: affects(
    'numerics',
    trl(
      z.boolean().nullable().default(null),
      'Recompute activations in the backward pass: less memory, about a fifth slower. null: on a GPU only where fewer than 8,192 tokens ' +
        'fit without, on a CPU yes (TRL: true).',
    ),
  ),
  torch_compile: affects(
    'numerics',
    trl(
      z.boolean().nullable().default(null),
      'Compile each decoder layer for training (needs a C++ compiler, on a GPU Triton); sampling and scoring stay as they are. ' +
        'null: no. Tried on CPUs only.',
    ),
  ),
  bf16: readWhen(
    trl(
      z.boolean().nullable().default(null),
      'Compute in bfloat16 over float32 weights; null: on a GPU that has it, and not on a CPU.',
    ),
    { dtype: is('float32') },
  ),
  weight_rounding: readWhen(
    ours(
      z.enum(['stochastic', 'nearest']).default('stochastic'),
      'How updates are written into weights held in bfloat16: stochastic is right on average; nearest loses most of them.',
    ),
    { dtype: is('bfloat16') },
  ),
};

/** Trackers that there are. */
export const trackerNames = ['tensorboard', 'wandb', 'mlflow', 'trackio'] as const;

/** What a run writes while it trains, and where. */
export const outputSettings = {
  output_dir: affects('nothing', trl(text, 'Directory of this run; refused when it holds something else.')),
  run_name: affects(
    'nothing',
    trl(text.nullable().default(null), 'Name shown in reports and trackers; null: the name of output_dir.'),
  ),
  price_per_hour: affects(
    'nothing',
    ours(
      z.number().positive().nullable().default(null),
      'What an hour of this machine costs, in any currency: the plan then says what the run will cost. null: it does not.',
    ),
  ),
  report_to: affects(
    'nothing',
    trl(
      z.array(z.enum(trackerNames)).default([]),
      'Trackers that get the curves beside the files of the run (`tms setup --with trackers`): a process of its own reads the run directory, so that one which is down ' +
        'neither ends nor slows a run. Each training is a run there; names are TRL’s (TRL: all that are installed).',
    ),
  ),
  save_steps: affects(
    'nothing',
    trl(
      count.default(500),
      'Optimiser steps between two saved training states, from which a run resumes; 0: only at stage ends.',
    ),
  ),
  save_total_limit: affects(
    'nothing',
    readWhen(
      trl(
        positive.nullable().default(1),
        'Training states kept; null: all. 1 by default (TRL: all), because the weights of checkpoints are kept apart from them.',
      ),
      { save_steps: above(0) },
    ),
  ),
};
