/** "Did you mean": the nearest known key, and keys that other tools call differently. */

/** Keys of TRL, other trainers and earlier drafts, with our path or a sentence that begins with one. */
export const renamedKeys: Readonly<Record<string, string>> = {
  max_completion_length: 'tms.max_new_tokens',
  max_new_tokens: 'tms.max_new_tokens',
  num_generations: 'tms.samples_per_prompt',
  temperature: 'tms.temperature',
  top_p: 'tms.top_p',
  alpha: 'tms.alpha',
  num_checkpoints: 'tms.num_checkpoints',
  forget: 'retention',
  max_seq_length: 'max_length',
  max_seq_len: 'max_length',
  torch_dtype: 'dtype',
  revision: 'model_revision',
  model: 'model_name_or_path',
  model_name: 'model_name_or_path',
  dataset: 'dataset_name',
  dataset_path: 'dataset_name',
  train_file: 'dataset_name',
  validation_file: 'dataset_test_name',
  test_file: 'dataset_test_name',
  eval_dataset: 'dataset_test_name',
  dataset_split: 'dataset_train_split',
  split: 'dataset_train_split',
  dataset_subset: 'dataset_config',
  lr: 'learning_rate',
  lr_scheduler: 'lr_scheduler_type',
  scheduler: 'lr_scheduler_type',
  epochs: 'num_train_epochs',
  steps: 'max_steps',
  batch_size: 'per_device_train_batch_size',
  train_batch_size: 'per_device_train_batch_size',
  per_device_eval_batch_size: 'worker.token_budget (evaluation has no batch size of its own)',
  grad_accum: 'gradient_accumulation_steps',
  clip_grad: 'max_grad_norm',
  optimizer: 'optim',
  full_determinism: 'determinism: strict',
  eval_steps: 'eval_points (how many, not how often)',
  eval_strategy: 'eval_points',
  evaluation_strategy: 'eval_points',
  output: 'output_dir',
  use_lora: 'use_peft',
  lora_rank: 'lora_r',
  r: 'lora_r',
  peft_r: 'lora_r',
  target_modules: 'lora_target_modules',
  bnb_4bit_compute_dtype: 'bf16',
  bnb_4bit_use_double_quant: 'use_bnb_nested_quant',
  device: 'worker.device',
  threads: 'worker.threads',
  python: 'worker.python',
  name: 'run_name',
};

/** The path that `key` most likely meant, or null. `siblings` are the keys of the same block, `paths` all there are. */
export function suggestKey(
  key: string,
  siblings: readonly string[],
  paths: readonly string[],
): string | null {
  const near = nearest(key, siblings);
  if (near !== null) return near;
  const renamed = Object.hasOwn(renamedKeys, key) ? renamedKeys[key] : undefined;
  if (renamed !== undefined) return renamed;
  const elsewhere = paths.filter(path => lastName(path) === key);
  if (elsewhere.length > 0) return elsewhere.slice(0, 2).join(' or ');
  const leaf = nearest(key, paths.map(lastName));
  return paths.find(path => lastName(path) === leaf) ?? null;
}

/** The candidate with the smallest edit distance, if that is at most a third of the length of `word`, or 2 from four letters on. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const limit = Math.max(word.length < 4 ? 1 : 2, Math.floor(word.length / 3));
  let best: string | null = null;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** The fewest insertions, deletions, replacements and swaps of neighbours (Levenshtein, with transpositions). */
export function editDistance(a: string, b: string): number {
  let beforeAbove: readonly number[] = [];
  let above: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (beforeAbove[j - 2] as number) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(replaced, swapped, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    [beforeAbove, above] = [above, row];
  }
  return above[b.length] as number;
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}
