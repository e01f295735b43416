/** `tms doctor --parity`: a sampler held against the trainer. */
import { loadRun } from '../config/import-method.ts';
import { parseConfig } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { exitCodes } from '../errors.ts';
import { tmsHome } from '../python/paths.ts';
import { checkParity, type ParityCheck } from '../runner/check-parity.ts';
import { starterOf } from '../runner/samplers-of.ts';
import { startWorker } from '../worker/start.ts';
import { type CliContext, terminalProgress, wrap } from './terminal.ts';

/** `what`: a configuration, whose model, worker and sampler are taken, or a model. */
export async function parityCommand(what: string, isJson: boolean, context: CliContext): Promise<number> {
  const { terminal, env } = context;
  const config = /\.ya?ml$/.test(what) ? (await loadRun(what, [])).config : configFor(what);
  const progress = terminalProgress(terminal);
  const trainer = await startWorker({
    python: config.worker.python ?? undefined,
    report: line => terminal.note(line),
  });
  try {
    const start = await starterOf(config, { progress, home: tmsHome(env) });
    const sampler = await start(0);
    try {
      const found = await checkParity(config, { trainer, sampler });
      if (isJson) terminal.print(JSON.stringify(found, null, 2));
      else for (const line of parityText(found, config)) terminal.print(line);
      return found.parity.meanDifference <= found.tolerance ? exitCodes.ok : exitCodes.failed;
    } finally {
      await sampler.close();
    }
  } finally {
    await trainer.close();
  }
}

function configFor(model: string): RunConfig {
  const text = JSON.stringify({ model_name_or_path: model, dataset_name: 'none.jsonl', output_dir: 'none' });
  return parseConfig(text, 'tms doctor --parity', []);
}

/** The findings, and how to read them. */
function parityText(
  { model, parity, greedy, tolerance }: ParityCheck,
  { model_name_or_path, sampler }: Pick<RunConfig, 'model_name_or_path' | 'sampler'>,
): string[] {
  const isHealthy = parity.meanDifference <= tolerance;
  const rows = [
    ['trainer', `torch on ${model.device}, computing in ${model.computeDtype}, attention ${model.attention}`],
    ['sampler', sampler.backend],
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
