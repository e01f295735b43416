/**
 * What the bridge adds to a training step: the same functions through the bridge and in one Python process, block by block in turn.
 *
 *     npx tsx bench/train-step.ts MODEL_DIR --rows 32 --tokens 32 [--device cpu|cuda] [--dtype float32|bfloat16]
 *         [--threads 0] [--steps 20] [--rounds 7]
 *
 * `refused` sends the same two requests with a weight on a first token: both are checked, carried and answered, and nothing is
 * computed. It is what the bridge itself takes, and on a busy machine the only figure below one per cent.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Connection, ensurePython, type TrainingSequence, Worker } from '../src/index.ts';
import { projectRoot } from '../src/python/paths.ts';
import { conditions, median, medianRatio, table } from './report.ts';

type Took = { seconds: number; cpuSeconds: number };
type Variant = 'python' | 'awaited' | 'pipelined' | 'refused';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cpu' },
    dtype: { type: 'string', default: 'float32' },
    threads: { type: 'string', default: '0' },
    rows: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '32' },
    steps: { type: 'string', default: '20' },
    rounds: { type: 'string', default: '7' },
  },
});
const [model] = positionals;
if (model === undefined) throw new Error('give the directory of a model, see bench/make_model.py');
const ticksPerSecond = 100;
const update = { adamw: { learningRate: 1e-5 }, maxGradNorm: 1 };
const steps = Number(options.steps);
const { device, threads, rows, tokens } = options;

const { path: python } = await ensurePython({});
const connection = await Connection.open({ root: projectRoot(), python });
const worker = new Worker(connection);
const plain = startPlain([model, device, options.dtype, threads, rows, tokens]);
const lines = createInterface({ input: plain.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
try {
  await nextLine(); // it has loaded the model
  await compare(model);
} finally {
  plain.kill();
  await worker.close();
}

async function compare(directory: string): Promise<void> {
  const dtype = options.dtype as 'float32' | 'bfloat16';
  const info = await worker.load({ model: directory, device, dtype, threads: Number(threads) || null });
  const [good, bad] = [batch(info.vocabSize, 0), batch(info.vocabSize, 1)];
  const run: Record<Variant, () => Promise<Took>> = {
    python: stepInPython,
    awaited: () => measure(() => stepAwaited(good), steps),
    pipelined: () => measure(() => stepsPipelined(good), 1),
    refused: () => measure(() => stepRefused(bad), steps),
  };
  const took: Record<Variant, Took[]> = { python: [], awaited: [], pipelined: [], refused: [] };
  const variants = Object.keys(run) as Variant[];
  for (let round = 0; round <= Number(options.rounds); round++)
    for (const variant of round % 2 === 0 ? variants : variants.toReversed()) {
      const one = await run[variant]();
      if (round > 0) took[variant].push(one); // the first round warms up
    }
  console.log(`${conditions(device)}; ${rows} × ${tokens} tokens, ${info.parameterCount} parameters\n`);
  console.log(
    table(
      ['step', 'ms', 'time / python', 'CPU / python'],
      variants.map(variant => cells(variant, took)),
    ),
  );
}

function cells(variant: Variant, took: Record<Variant, Took[]>): string[] {
  const of = (name: Variant, key: keyof Took) => took[name].map(one => one[key]);
  const ratio = (key: keyof Took) => medianRatio(of(variant, key), of('python', key));
  return [
    variant,
    ((1000 * median(of(variant, 'seconds'))) / steps).toFixed(2),
    ratio('seconds').toFixed(4),
    ratio('cpuSeconds').toFixed(4),
  ];
}

function batch(vocabSize: number, firstWeight: number): TrainingSequence[] {
  const length = Number(tokens);
  return Array.from({ length: Number(rows) }, (_, row) => ({
    ids: Int32Array.from({ length }, (_, j) => ((row * length + j) * 7) % vocabSize),
    ce: Float32Array.from({ length }, (_, j) => (j === 0 ? firstWeight : 1)),
  }));
}

async function stepAwaited(good: readonly TrainingSequence[]): Promise<void> {
  await worker.forwardBackward(good);
  await worker.optimStep(update);
}

/** Nothing is awaited until all is sent; the connection keeps at most 64 requests at the worker. */
async function stepsPipelined(good: readonly TrainingSequence[]): Promise<void> {
  const calls = Array.from({ length: steps }, () => [worker.forwardBackward(good), worker.optimStep(update)]);
  await Promise.all(calls.flat());
}

async function stepRefused(bad: readonly TrainingSequence[]): Promise<void> {
  const outcomes = await Promise.allSettled([worker.forwardBackward(bad), worker.optimStep(update)]);
  if (outcomes.some(({ status }) => status === 'fulfilled')) throw new Error('a bad request was not refused');
}

async function measure(run: () => Promise<void>, times: number): Promise<Took> {
  const [start, cpu] = [performance.now(), cpuSeconds()];
  for (let i = 0; i < times; i++) await run();
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: cpuSeconds() - cpu };
}

/** Of this process and of the worker. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  const fields = readFileSync(`/proc/${connection.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (user + system) / 1e6 + (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function stepInPython(): Promise<Took> {
  plain.stdin?.write(`${steps}\n`);
  return JSON.parse(await nextLine()) as Took;
}

async function nextLine(): Promise<string> {
  const { value } = await lines.next();
  if (value === undefined) throw new Error('bench/train_step.py ended; see above');
  return value;
}

function startPlain(parameters: readonly string[]): ChildProcess {
  const env = { ...process.env, OMP_WAIT_POLICY: 'PASSIVE' }; // as the worker has them
  const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
  return spawn(python, ['-m', 'bench.train_step', ...parameters], { cwd: projectRoot(), env, stdio });
}
