/** How far a sampler is from the trainer on a person's own model, before a run depends on it. */
import type { RunConfig } from '../config/schema.ts';
import { toleranceOf } from '../training/canary.ts';
import { loadOptions, newAdapter } from '../training/load-options.ts';
import { type Parity, parityOf } from '../training/parity.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Answer, Worker } from '../worker/worker.ts';

/** `greedy`: tokens up to the first at which the most likely one differs, over all prompts, and how many such ends there were. */
export type ParityCheck = {
  readonly model: ModelInfo;
  readonly parity: Parity;
  readonly greedy: { readonly tokens: number; readonly differing: number };
  /** Above this mean difference a run refuses the sampler. */
  readonly tolerance: number;
};

const prompts = [
  'The capital of France is',
  'Question: What is 17 plus 25? Answer:',
  'def fibonacci(n):\n',
  'Once upon a time there was a small',
  'Die wichtigste Eigenschaft einer guten Messung ist',
  '{"name": "Ada", "born":',
  'The boiling point of water at sea level is',
  'Dear Sir or Madam,\n\nI am writing to',
];
const maxNewTokens = 64;

/** Load the base into both; the sampler answers, and both say how likely its answers are. */
export async function checkParity(
  config: RunConfig,
  { trainer, sampler }: { readonly trainer: Worker; readonly sampler: Worker },
): Promise<ParityCheck> {
  const model = config.model_name_or_path;
  const options = { ...loadOptions(config), model, adapter: newAdapter(config), digest: true };
  const info = await trainer.load(options);
  await sampler.load(options);
  const { sequences } = await trainer.encode(prompts.map(prompt => ({ prompt, completion: null })));
  const asked = sequences.map(({ ids }) => ids);
  const answers = await sampler.generate(asked, { maxNewTokens, temperature: 1 });
  const whole = asked.map((prompt, i) => Int32Array.of(...prompt, ...(answers[i] as Answer).ids));
  const from = asked.map(({ length }) => length);
  const [trained, sampled] = [await trainer.forward(whole), await sampler.forward(whole)];
  const parity = parityOf(trained.logprobs, sampled.logprobs, from);
  const greedily = { maxNewTokens, temperature: 0 };
  const greedy = greedyParity(
    await trainer.generate(asked, greedily),
    await sampler.generate(asked, greedily),
  );
  return { model: info, parity, greedy, tolerance: toleranceOf(info.computeDtype) };
}

/** Behind the first difference the prompts are no longer the same: nothing there is compared. */
function greedyParity(trainer: readonly Answer[], sampler: readonly Answer[]): ParityCheck['greedy'] {
  let [tokens, differing] = [0, 0];
  for (const [i, { ids }] of trainer.entries()) {
    const other = sampler[i]?.ids ?? new Int32Array();
    const first = ids.findIndex((id, at) => id !== other[at]);
    tokens += first < 0 ? ids.length : first + 1;
    differing += first < 0 ? 0 : 1;
  }
  return { tokens, differing };
}
