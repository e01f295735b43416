/**
 * What the way through the wire costs beside vLLM alone: the same prompts of the same engine through `generate` of the worker, and through
 * `LLM.generate` in one process. Both answer one round before any is counted.
 *
 *     npx tsx bench/vllm.ts MODEL --python PYTHON_WITH_VLLM [--prompts 128] [--new-tokens 64] [--rounds 3]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { projectRoot } from '../src/python/paths.ts';
import { vllmStarter } from '../src/worker/start.ts';
import { conditions, median, table } from './report.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string' },
    prompts: { type: 'string', default: '128' },
    'new-tokens': { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
  },
});
const [model = ''] = positionals;
const python = values.python ?? null;
const [maxNewTokens, rounds] = [Number(values['new-tokens']), Number(values.rounds)];
const prompts = Array.from({ length: Number(values.prompts) }, (_, i) =>
  Array.from({ length: 16 + (i % 32) }, (_, j) => 5 + ((i * 31 + j * 17) % 50)),
);

/** Seconds of each round through the worker; the first, in which kernels warm up, is not among them. */
async function throughTheWire(): Promise<number[]> {
  const worker = await (await vllmStarter({ python }))();
  try {
    await worker.load({ model });
    const took: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const seeds = prompts.map((_, i) => round * prompts.length + i);
      const began = performance.now();
      const answers = await worker.generate(prompts, { maxNewTokens, stopIds: [], seeds });
      took.push((performance.now() - began) / 1000);
      if (answers.some(({ ids }) => ids.length !== maxNewTokens))
        throw new Error('an answer has another length');
    }
    return took.slice(1);
  } finally {
    await worker.close();
  }
}

/** The same of vLLM alone. */
async function offline(): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tms-bench-'));
  try {
    const file = join(folder, 'prompts.json');
    writeFileSync(file, JSON.stringify(prompts));
    const args = ['-m', 'bench.vllm_offline', model, file, String(maxNewTokens), String(rounds)];
    const child = spawn(python ?? 'python', args, {
      cwd: projectRoot(),
      env: { OMP_WAIT_POLICY: 'PASSIVE', ...process.env }, // as workers are started: threads that spin cost a shared machine four times as much
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const took: number[] = [];
    createInterface({ input: child.stdout }).on('line', line => {
      if (line.startsWith('{"round"')) took.push((JSON.parse(line) as { seconds: number }).seconds);
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`bench.vllm_offline ended with ${code}`);
    return took.slice(1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const tokens = prompts.length * maxNewTokens;
const took = { alone: await offline(), wire: await throughTheWire() };
took.alone.push(...(await offline()));
const alone = median(took.alone);
const row = (what: string, seconds: number) => [
  what,
  `${seconds.toFixed(2)} s`,
  (tokens / seconds).toFixed(0),
  (alone / seconds).toFixed(2),
];
console.log(`${conditions()}, ${prompts.length} prompts × ${maxNewTokens} tokens, ${rounds} rounds\n`);
console.log(
  table(
    ['what', 'median', 'tokens/s', 'of vLLM alone'],
    [row('vLLM alone', alone), row('through the worker', median(took.wire))],
  ),
);
