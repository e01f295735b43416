/**
 * Memory that the orchestrator holds for each answer of a harvest, beyond what examples take: a run on the toy worker, the garbage
 * collected ten times a second, the largest live memory of two sizes compared. Prompts of both have the same length.
 *
 *     node --expose-gc --import tsx bench/harvest-memory.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '../src/config/load.ts';
import { executeRun } from '../src/runner/execute.ts';
import { Worker } from '../src/worker/worker.ts';
import { ToyChannel } from '../test/support/toy-worker.ts';

const sizes = [2_000, 22_000] as const;
const { gc } = globalThis;
if (gc === undefined) throw new Error('run node with --expose-gc');
await largestLive('tms', 500); // what code and caches take once is there afterwards
const [few, many] = sizes;
const grown = async (method: string) => (await largestLive(method, many)) - (await largestLive(method, few));
const [tms, sft] = [await grown('tms'), await grown('sft')];
console.log(
  '| answers | bytes an example without answers | bytes an answer beside | aim |\n| --- | --- | --- | --- |',
);
console.log(
  `| ${few} → ${many} | ${perAnswer(sft)} | ${perAnswer(tms - sft)} | ≤ 200 beyond its tokens: ${perAnswer(tms - sft) <= 200 ? 'met' : 'missed'} |`,
);

function perAnswer(bytes: number): number {
  return Math.round(bytes / (many - few));
}

/** Of a run over `count` prompts, each answered once by `tms`, in bytes. */
async function largestLive(method: string, count: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tms-harvest-'));
  const rows = Array.from({ length: count }, (_, i) => ({
    prompt: `say ${100_000 + i}`,
    completion: 'ab',
  }));
  writeFileSync(join(folder, 'train.jsonl'), rows.map(row => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(join(folder, 'test.jsonl'), '{"prompt":"x","completion":"a"}\n');
  const config = JSON.stringify({
    model_name_or_path: 'toy:1',
    method,
    output_dir: join(folder, 'out'),
    dataset_name: join(folder, 'train.jsonl'),
    dataset_test_name: join(folder, 'test.jsonl'),
    max_length: 40,
    learning_rate: 1,
    max_steps: 1,
    per_device_train_batch_size: 64,
    pld: { size: 0 },
    kl: { size: 0 },
    eval_points: 2,
    ...(method === 'tms' && {
      tms: {
        num_checkpoints: 1,
        alpha: 0,
        lazy_harvest: false,
        max_new_tokens: 20,
        max_fallback_fraction: 1,
      },
    }),
  });
  let largest = 0;
  const timer = setInterval(() => {
    gc?.();
    const { heapUsed, external } = process.memoryUsage();
    largest = Math.max(largest, heapUsed + external);
  }, 100);
  await executeRun(parseConfig(config, 'bench'), {
    worker: new Worker(new ToyChannel()),
    home: join(folder, 'home'),
    progress: { update() {}, say() {} },
    signal: new AbortController().signal,
    input: config,
    tmsVersion: 'bench',
    resume: false,
  });
  clearInterval(timer);
  rmSync(folder, { recursive: true });
  return largest;
}
