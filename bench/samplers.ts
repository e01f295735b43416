/**
 * What samplers bring: the same short run of the quickstart without and with one (its harvest goes on beside the training), the same prompts
 * asked of one and of two, and what a start takes. Every process has one thread.
 *
 *     npx tsx bench/samplers.ts [--rounds 3] [--prompts 512]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig, run, startWorker } from '../src/index.ts';
import type { Place } from '../src/training/place.ts';
import { Samplers } from '../src/training/samplers.ts';
import { conditions, median, medianRatio, table } from './report.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, prompts: { type: 'string', default: '512' } },
});
const rounds = Array.from({ length: Number(values.rounds) }, (_, i) => i);
const short = [
  'worker.threads=1',
  'num_train_epochs=2',
  'save_steps=0',
  'tms.alpha=0',
  'eval={sets: []}',
  'retention={sets: []}',
  'pld.size=0',
  'kl.size=0',
  'eval_points=2',
  'tms.num_checkpoints=3',
  'tms.max_fallback_fraction=1',
];

/** Seconds of a whole run with nothing in the store. */
async function runFor(workers: number | null): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tms-bench-'));
  try {
    const sets = [...short, `sampler.workers=${workers}`, `output_dir=${join(folder, 'out')}`];
    const config = await loadConfig('configs/quickstart.yaml', sets);
    return await seconds(() => run(config, { home: join(folder, 'home'), say: line => console.error(line) }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Seconds until `count` samplers hold the model, and then until they have answered. */
async function ask(count: number): Promise<{ start: number; answers: number }> {
  const { model_name_or_path: model } = await loadConfig('configs/quickstart.yaml', [
    ...short,
    'output_dir=none',
  ]);
  const samplers = new Samplers({ count, start: () => startWorker(), say: line => console.error(line) });
  const canary = {
    sequences: [Int32Array.of(5, 6, 7)],
    logprobs: [Float32Array.of(0, 0)],
    tolerance: Number.MAX_VALUE, // nobody is doubted here
  };
  const place: Place = { name: 'the base', load: { model, threads: 1 }, digest: null, canary };
  const sampler = samplers.at(place);
  const prompts = Array.from({ length: Number(values.prompts) }, (_, i) => [5 + (i % 7), 6 + (i % 11), 7]);
  const options = { maxNewTokens: 48, stopIds: [], seeds: prompts.map((_, i) => i) };
  try {
    const start = await seconds(() => sampler.generate(prompts.slice(0, 8), { ...options, maxNewTokens: 1 }));
    return { start, answers: await seconds(() => sampler.generate(prompts, options)) };
  } finally {
    await samplers.close();
  }
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

const took = {
  alone: [] as number[],
  beside: [] as number[],
  one: [] as number[],
  two: [] as number[],
  start: [] as number[],
};
for (const _ of rounds) {
  took.alone.push(await runFor(null));
  took.beside.push(await runFor(1));
  const [one, two] = [await ask(1), await ask(2)];
  took.one.push(one.answers);
  took.two.push(two.answers);
  took.start.push(one.start);
}
console.log(`${conditions()}, ${rounds.length} rounds\n`);
const row = (what: string, times: readonly number[], bases: readonly number[]) => [
  what,
  `${median(times).toFixed(1)} s`,
  medianRatio(times, bases).toFixed(2),
];
console.log(
  table(
    ['what', 'median', 'ratio'],
    [
      row('run, the trainer samples', took.alone, took.alone),
      row('run, one sampler beside it', took.beside, took.alone),
      row(`${values.prompts} answers, one sampler`, took.one, took.one),
      row(`${values.prompts} answers, two samplers`, took.two, took.one),
      row('start of a sampler, until its first answers', took.start, took.one),
    ],
  ),
);
