/**
 * A training loop in ten lines: the model learns a sentence and says it.
 *
 *     npx tsx examples/train-loop.ts MODEL_DIR [LEARNING_RATE] [STEPS]
 */
import { completionOnly, startWorker } from '../src/index.ts';

const [model = 'HuggingFaceTB/SmolLM2-135M-Instruct', learningRate = '1e-4', steps = '10'] =
  process.argv.slice(2);
const worker = await startWorker();
await worker.load({ model });
const { sequences } = await worker.encode([{ prompt: 'The secret word is', completion: ' pineapple.' }]);
for (let step = 1; step <= Number(steps); step++) {
  const gradients = worker.forwardBackward(sequences.map(completionOnly));
  const update = worker.optimStep({ adamw: { learningRate: Number(learningRate) }, maxGradNorm: 1 });
  console.log(
    `step ${step}: loss ${(await gradients).loss.toFixed(4)}, gradient norm ${(await update).gradNorm.toFixed(3)}`,
  );
}
const prompts = sequences.map(({ ids, promptLength }) => ids.subarray(0, promptLength));
const [answer] = await worker.generate(prompts, { maxNewTokens: 16, temperature: 0 });
console.log(`The secret word is${(await worker.decode([answer?.ids ?? []]))[0]}`);
await worker.close();
