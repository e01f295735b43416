/** `tms doctor --parity`: a sampler held against the trainer. */
import { loadRun } from '../config/import-method.ts';
import { parseConfig } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { exitCodes } from '../errors.ts';
import { tmsHome } from '../python/paths.ts';
import { checkParity, type ParityCheck } from '../runner/check-parity.ts';
import { starterOf } from '../runner/samplers-of.ts';
import { startWorker } from '../worker/start.ts';
import type { Worker } from '../worker/worker.ts';
import { type CliContext, terminalProgress, wrap } from './terminal.ts';

/** `what`: a configuration, whose model, worker and sampler are taken, or a model. */
export async function parityCommand(what: string, isJson: boolean, context: CliContext): Promise<number> {
  const { terminal, env } = context;
  const config = await configOf(what);
  const progress = terminalProgress(terminal);
  const trainer = await startWorker({
    python: config.worker.python ?? undefined,
    report: line => terminal.note(line),
  });
  try {
    // Only the base is loaded: nothing of the run's own folder is, which need not be there yet.
    const start = await starterOf(config, { progress, home: tmsHome(env), shared: [] });
    const checked: ParityCheck[] = [];
    for (const [index, name] of samplerNames(config).entries()) {
      const found = await checkOne(config, trainer, () => start(index));
      checked.push(found);
      if (!isJson) for (const line of parityText(found, config, name)) terminal.print(line);
    }
    if (isJson) terminal.print(JSON.stringify(checked.length === 1 ? checked[0] : checked, null, 2));
    const areHealthy = checked.every(({ parity, tolerance }) => parity.meanDifference <= tolerance);
    return areHealthy ? exitCodes.ok : exitCodes.failed;
  } finally {
    await trainer.close();
  }
}

async function checkOne(
  config: RunConfig,
  trainer: Worker,
  start: () => Promise<Worker>,
): Promise<ParityCheck> {
  const sampler = await start();
  try {
    return await checkParity(config, { trainer, sampler });
  } finally {
    await sampler.close();
  }
}

async function configOf(what: string): Promise<RunConfig> {
  return /\.ya?ml$/.test(what) ? (await loadRun(what, [])).config : configFor(what);
}

function configFor(model: string): RunConfig {
  const text = JSON.stringify({ model_name_or_path: model, dataset_name: 'none.jsonl', output_dir: 'none' });
  return parseConfig(text, 'tms doctor --parity', []);
}

/** Those that stand elsewhere each; else one, as all are started alike. */
function samplerNames({ sampler }: Pick<RunConfig, 'sampler'>): string[] {
  return sampler.endpoints?.map(({ address }) => `${sampler.backend} at ${address}`) ?? [sampler.backend];
}

/** The findings, and how to read them. */
function parityText(
  { model, parity, greedy, tolerance }: ParityCheck,
  { model_name_or_path }: Pick<RunConfig, 'model_name_or_path'>,
  name: string,
): string[] {
  const isHealthy = parity.meanDifference <= tolerance;
  const rows = [
    ['trainer', `torch on ${model.device}, computing in ${model.computeDtype}, attention ${model.attention}`],
    ['sampler', name],
    ['tokens compared', String(parity.tokens)],
    ['mean difference', `${parity.meanDifference.toPrecision(2)} nats a token`],
    ['largest', `${parity.maxDifference.toPrecision(2)} nats`],
    ['would differ', `about ${(100 * parity.shareDiffering).toPrecision(2)} % of sampled tokens`],
    ['greedy', `${greedy.differing} of ${greedy.tokens} tokens differ`],
  ].map(([label = '', text = '']) => `  ${label.padEnd(17)}${text}`);
  return [
    `Parity of ${model_name_or_path}`,
    ...rows,
    '',
    verdict(isHealthy, tolerance),
    ...wrap(ranges, 100),
  ];
}

function verdict(isHealthy: boolean, tolerance: number): string {
  return isHealthy
    ? `Healthy: the mean is within ${tolerance} nats, up to which a run takes a sampler.`
    : `Not healthy: a run refuses a sampler whose mean is above ${tolerance} nats.`;
}

const ranges =
  'The same engine on one machine: 0. Two engines in float32: a mean of 1e-6 to 1e-4. In bfloat16: 0.005 to 0.03, with single tokens off by ' +
  'some tenths; a few percent of sampled tokens then differ. Targets of TMS are ids and do not feel it; PLD, KL and GRPO take the trainer’s ' +
  'log-probabilities alone. A mean near 0.1 or above is another model: stale weights, another dtype, or a layer that one engine computes otherwise.';
