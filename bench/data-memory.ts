/**
 * Memory of the orchestrator for a dataset of 1 thousand and of 1 million examples: index, split, token file, plan, and reading a few
 * batches. Each size runs in a process of its own; prints bytes an example from the difference. Run: tsx bench/data-memory.ts
 * `held` is what JavaScript owns after a collection. `resident` and `peak` are of the whole process, and of little meaning unless V8's
 * young generation is kept small: by itself it grows to some 50 MB in any busy process, whatever the data; so both are shown.
 */
import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { parseConfig } from '../src/config/load.ts';
import { openDataset } from '../src/data/dataset.ts';
import { encodeToFile } from '../src/data/encode-file.ts';
import { idWords } from '../src/data/example-index.ts';
import { checkLengths } from '../src/data/lengths.ts';
import { TokenFile } from '../src/data/token-file.ts';
import type { PlannedTraining } from '../src/plan/plan.ts';
import { batches } from '../src/plan/training-plan.ts';
import { makePlan } from '../src/runner/make-plan.ts';

type Figures = { resident: number; peak: number; held: number; seconds: number };

const [role, size] = process.argv.slice(2);
if (role === 'one') console.log(JSON.stringify(await measure(Number(size))));
else report();

function report(): void {
  for (const flags of [['--max-semi-space-size=2'], []]) {
    console.log(flags.length > 0 ? `young generation bounded (${flags[0]})` : 'as Node comes');
    const [small, large] = [1000, 1_000_000].map(examples => measureApart(examples, flags)) as [
      Figures,
      Figures,
    ];
    for (const key of ['held', 'resident', 'peak'] as const) {
      console.log(`  ${key}: ${((large[key] - small[key]) / 999_000).toFixed(1)} bytes an example`);
    }
  }
}

function measureApart(examples: number, flags: readonly string[]): Figures {
  const command = [
    '--expose-gc',
    ...flags,
    ...process.execArgv,
    process.argv[1] ?? '',
    'one',
    String(examples),
  ];
  const figures = JSON.parse(execFileSync(process.execPath, command, { encoding: 'utf8' })) as Figures;
  console.log(`  ${examples} examples: ${JSON.stringify(figures)}`);
  return figures;
}

/** Everything that the orchestrator keeps for a run, and a few batches read with it. */
async function measure(examples: number): Promise<Figures> {
  const directory = mkdtempSync(join(tmpdir(), 'tms-memory-'));
  try {
    const file = await writeExamples(join(directory, 'data.jsonl'), examples);
    const sets = [`dataset_name=${file}`, 'test_size=0.1', 'max_length=256'];
    const config = parseConfig('model_name_or_path: m\noutput_dir: o\n', 'bench', sets);
    const started = performance.now();
    const dataset = await openDataset(config, directory);
    const { index, rows } = dataset.train;
    const tokensPath = join(directory, 'tokens.bin');
    await encodeToFile(
      index,
      config,
      async some => ({ sequences: some.map(encode), warnings: [], stopIds: [], readsDate: false }),
      tokensPath,
    );
    const tokens = await TokenFile.open(tokensPath);
    const lengths = checkLengths(index.source, rows, tokens, config);
    const idOf = (example: number) => idWords(index, lengths.usable[example] as number);
    const facts = { trainExamples: lengths.usable.length, testExamples: dataset.test.rows.length };
    const planned = makePlan(
      config,
      {
        ...facts,
        trainTokens: lengths.tokens,
        trainPromptTokens: lengths.promptTokens,
        longestPrompt: { tokens: 1, place: 'the bench' },
        completionLengths: [],
      },
      { promptIdOf: idOf },
      { disk: null, throughput: null },
    );
    const batchOf = batches((planned.trainings.sft as PlannedTraining).order);
    for (let step = 0; step < 50; step++) {
      for (const { example } of batchOf(step)) await tokens.read(lengths.usable[example] as number);
    }
    const figures = await memoryNow((performance.now() - started) / 1000);
    if (planned.tokens.generatedExpected === 0 || batchOf(0).length === 0)
      throw new Error('kept alive until here');
    await tokens.close();
    return figures;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** After a full collection; `held` is what JavaScript owns, `resident` and `peak` are the process. */
async function memoryNow(seconds: number): Promise<Figures> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    resident: rss,
    peak: process.resourceUsage().maxRSS * 1024,
    held: heapUsed + external,
    seconds: Math.round(seconds * 10) / 10,
  };
}

async function writeExamples(file: string, examples: number): Promise<string> {
  const stream = createWriteStream(file);
  for (let i = 0; i < examples; i++) {
    const line = `{"prompt": "What is ${i} plus ${i}? ${'Think about it. '.repeat(i % 8)}", "completion": "It is ${2 * i}."}\n`;
    if (!stream.write(line)) await new Promise(resolve => stream.once('drain', () => resolve(null)));
  }
  await finished(stream.end());
  return file;
}

/** A stand-in for the tokenizer: four letters a token. */
function encode({ prompt, completion }: { prompt: unknown; completion: unknown }) {
  const promptLength = Math.ceil(String(prompt).length / 4);
  const ids = new Int32Array(promptLength + Math.ceil(String(completion).length / 4));
  return { ids, promptLength, learned: new Uint8Array(ids.length).fill(1, promptLength) };
}
