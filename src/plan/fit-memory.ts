/** Refuses a run that its device cannot hold, and says what would fit. */
import { describeMemory, formatBytes } from './describe.ts';
import { type MemoryFacts, memoryCost } from './memory.ts';
import { PlanError } from './plan.ts';

/** A way to need less: keys as a person writes them, and the facts that follow. */
type Way = { readonly keys: string; readonly facts: MemoryFacts };

/** Throws `PlanError` where what is held together is more than the device has, with the changes that would fit, the mildest first. */
export function refuseTooLarge(facts: MemoryFacts, where: string): void {
  const cost = memoryCost(facts);
  if (fits(facts)) return;
  const ways = waysToNeedLess(facts).filter(way => fits(way.facts));
  const said = ways.map(({ keys, facts: less }) => `${keys} (${formatBytes(memoryCost(less).peakBytes)})`);
  throw new PlanError(`the run does not fit into the memory of ${where}: ${describeMemory(cost)}`, {
    fix:
      said.length > 0
        ? `any of these would: ${said.join('; ')}`
        : 'a smaller model, or a larger device: nothing that tms can change would make it fit',
  });
}

/** Sampling takes what is there; training needs what it needs. */
function fits(facts: MemoryFacts): boolean {
  const whole = memoryCost({ ...facts, slots: 0 });
  return whole.peakBytes <= whole.deviceBytes;
}

const leastTokens = 512;
/** LoRA on every linear layer of a decoder with rank 16 is about a hundredth of its weights. */
const adapterShare = 0.01;

function waysToNeedLess(facts: MemoryFacts): Way[] {
  const fewer = { keys: `worker.token_budget=${leastTokens}`, facts: { ...facts, tokens: leastTokens } };
  const again = {
    keys: 'gradient_checkpointing=true worker.token_budget=512',
    facts: { ...facts, tokens: leastTokens, isCheckpointed: true },
  };
  const least = again.facts;
  const eight = { keys: 'optim=adamw_8bit', facts: { ...least, optim: 'adamw_8bit' as const } };
  const half = {
    keys: 'dtype=bfloat16',
    facts: {
      ...least,
      dtype: 'bfloat16' as const,
      computeDtype: 'bfloat16' as const,
      optim: 'adamw_torch' as const,
    },
  };
  const trainable = Math.round(facts.parameters * adapterShare);
  const adapter = { keys: 'use_peft=true', facts: { ...least, isAdapter: true, trainable } };
  const both = {
    keys: 'use_peft=true dtype=bfloat16',
    facts: { ...adapter.facts, dtype: 'bfloat16' as const, computeDtype: 'bfloat16' as const },
  };
  return [
    ...(facts.tokens > leastTokens ? [fewer] : []),
    ...(facts.isCheckpointed ? [] : [again]),
    ...(facts.optim === 'adamw_8bit' || facts.isAdapter ? [] : [eight]),
    ...(facts.dtype === 'bfloat16' || facts.isAdapter ? [] : [half]),
    ...(facts.isAdapter ? [] : [adapter]),
    ...(facts.dtype === 'bfloat16' ? [] : [both]),
  ];
}
