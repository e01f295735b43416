/**
 * Pretrain a base of the lab through the worker, and save it if it is acceptable.
 *
 *     npx tsx lab/pretrain.ts DIRECTORY [--seed N] [--steps N]
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { completionOnly, ensurePython, startWorker, type Worker } from '../src/index.ts';
import { type Measurements, measure, shortcomings } from './acceptance.ts';
import { learningRateAt, type Recipe, recipe as shippedRecipe } from './recipe.ts';
import { pretrainingExamples } from './tasks.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, steps: { type: 'string' } },
});
const [directory] = positionals;
if (directory === undefined)
  throw new Error('usage: npx tsx lab/pretrain.ts DIRECTORY [--seed N] [--steps N]');
if (existsSync(directory)) throw new Error(`${directory} exists; name a new directory or remove it`);
await main(directory, {
  ...shippedRecipe,
  seed: wholeNumber(values.seed) ?? shippedRecipe.seed,
  steps: wholeNumber(values.steps) ?? shippedRecipe.steps,
});

function wholeNumber(text: string | undefined): number | undefined {
  if (text !== undefined && !/^\d+$/.test(text)) throw new Error(`${text} is no whole number`);
  return text === undefined ? undefined : Number(text);
}

async function main(directory: string, recipe: Recipe): Promise<void> {
  const python = (await ensurePython()).path;
  const worker = await startWorker({ python });
  const start = mkdtempSync(join(tmpdir(), 'lab-'));
  try {
    const { tokens, shape, seed } = recipe;
    execFileSync(python, [
      join(import.meta.dirname, 'make_model.py'),
      start,
      JSON.stringify({ tokens, shape, seed }),
    ]);
    await worker.load({
      model: start,
      device: 'cpu',
      threads: 1,
      tokenBudget: 8192,
      determinism: 'strict',
      seed,
    });
    await train(worker, recipe);
    await accept(worker, directory, recipe);
  } finally {
    await worker.close();
    rmSync(start, { recursive: true });
  }
}

async function train(worker: Worker, recipe: Recipe): Promise<void> {
  const { seed, steps, batchSize, adamw, muon, maxGradNorm } = recipe;
  let update: Promise<unknown> = Promise.resolve();
  for (let step = 0; step < steps; step++) {
    const examples = pretrainingExamples(seed, step * batchSize, batchSize);
    await update; // of the step before: examples are drawn while the worker works
    const { sequences } = await worker.encode(examples);
    const gradients = worker.forwardBackward(sequences.map(completionOnly));
    const learningRate = learningRateAt(step, recipe);
    update = worker.optimStep({
      adamw: { ...adamw, learningRate },
      muon: { ...muon, learningRate },
      maxGradNorm,
    });
    if (step % 20 === 0) {
      const { loss, paddedTokens, microBatches } = await gradients;
      console.log(
        `step ${step}: loss ${loss.toFixed(4)}, ${paddedTokens} tokens in ${microBatches} micro-batches`,
      );
    }
  }
  await update;
}

async function accept(worker: Worker, directory: string, recipe: Recipe): Promise<void> {
  const measured = await measure(worker);
  console.log(measured);
  const problems = shortcomings(measured);
  if (problems.length > 0)
    throw new Error(`the base is not acceptable; try other --steps:\n${problems.join('\n')}`);
  const { weightsDigest } = await worker.save(directory);
  const { versions } = await worker.status();
  writeRecipe(directory, { weightsDigest, measured, versions, recipe });
  console.log(`${directory}: ${weightsDigest}`);
}

function writeRecipe(
  directory: string,
  record: { weightsDigest: string; measured: Measurements; versions: Record<string, string>; recipe: Recipe },
): void {
  writeFileSync(join(directory, 'recipe.json'), `${JSON.stringify(record, null, 2)}\n`);
}
