/** Only A and B of LoRA add something linear to a base, which can be scaled or left out. */
import type { RunConfig } from '../config/schema.ts';
import type { Finding } from './method.ts';

/** A finding where the adapter of this run has more than that: the worker refuses it, after all that is trained before. */
export function otherAdapters({ use_peft, use_dora, lora_modules_to_save }: RunConfig): Finding[] {
  if (!use_peft || (!use_dora && lora_modules_to_save === null)) return [];
  const found = use_dora ? 'use_dora: true' : 'lora_modules_to_save';
  const hint = 'the method holds the adapter against its base, which only A and B of LoRA can be';
  return [{ path: [], found, expected: 'a LoRA adapter without it', hint }];
}
