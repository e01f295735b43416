/** How this machine will compute a run, in the words of the configuration. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { RunConfig } from '../config/schema.ts';
import { writeFileAtomic } from '../files/atomic.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { readRecord } from '../files/read-record.ts';
import type { Throughput } from '../plan/plan.ts';
import type { Numerics } from '../run/numerics.ts';
import { type EnvironmentRecord, type TimingLine, timingLine } from '../run/records.ts';
import { usesBitsandbytes } from '../training/load-options.ts';
import type { ModelInfo, Result } from '../worker/protocol.ts';
import { samplersAsked } from './samplers-of.ts';

/** Commit of the working directory and whether it has uncommitted changes; null outside a repository or without git. */
export function gitState(): EnvironmentRecord['git'] {
  const commit = git('rev-parse', 'HEAD');
  const changes = git('status', '--porcelain', '--untracked-files=no');
  return commit === null || changes === null ? null : { commit, isDirty: changes !== '' };
}

function git(...args: string[]): string | null {
  const { status, stdout } = spawnSync('git', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout.trim() : null;
}

/** Every key that affects numerics, as it turned out here, and what decides the last bits beside them. */
export function currentNumerics(
  config: RunConfig,
  model: ModelInfo,
  { versions, threads, deviceName, determinism: settings }: Result<'status'>,
): Numerics {
  const { determinism, sampler, placement, worker } = config;
  return {
    determinism,
    attn_implementation: model.attention,
    gradient_checkpointing: model.gradientCheckpointing,
    torch_compile: model.torchCompile,
    'worker.device': model.device,
    'worker.token_budget': model.tokenBudget,
    'worker.threads': model.device === 'cpu' ? threads : null,
    // Under strict sampling an answer never depends on its batch; on a CPU samplers share its threads.
    'sampler.workers': samplersCount({ sampler, placement, worker }, model),
    'sampler.backend': sampler.backend,
    'sampler.endpoints': sampler.endpoints?.length ?? null,
    'placement.samplers.count': placement.samplers.count,
    'sampler.strict': sampler.strict,
    'sampler.max_rows': model.strictSampling && sampler.backend === 'torch' ? 'any' : sampler.max_rows,
    'strict sampling': model.strictSampling,
    'compute dtype': model.computeDtype,
    layout: model.layout,
    'device name': deviceName,
    torch: versions.torch ?? '',
    transformers: versions.transformers ?? '',
    MKL_CBWR: settings.MKL_CBWR ?? '',
    ...(usesBitsandbytes(config) && { bitsandbytes: versions.bitsandbytes ?? '' }),
  };
}

/** Null where answers have the same bits whoever samples. */
function samplersCount(
  { worker, ...asked }: Pick<RunConfig, 'sampler' | 'placement' | 'worker'>,
  { strictSampling, device }: ModelInfo,
): number | null {
  const workers = samplersAsked(asked);
  const haveSameThreads = device !== 'cpu' || worker.threads !== null || workers === 1;
  return strictSampling && asked.sampler.backend === 'torch' && haveSameThreads ? null : workers;
}

// Tokens a second as last measured on this machine with a model like this one: what `tms plan` estimates time from.

const measured = z.strictObject({ train: z.number().positive(), generate: z.number().positive() });
const book = z.record(z.string(), measured);

/** Null before the first run, and where the file cannot be read: times are a convenience, never in the way of a run. */
export function readThroughput(home: string, numerics: Numerics): Throughput | null {
  return readBook(home)[sha256OfRecord(numerics)] ?? null;
}

/** Note what a run measured, from its timing.jsonl. Never throws: the run is finished. */
export function noteThroughput(home: string, numerics: Numerics, timingFile: string): void {
  try {
    note(home, numerics, timingFile);
  } catch {
    // The next run measures again.
  }
}

function note(home: string, numerics: Numerics, timingFile: string): void {
  const lines = readFileSync(timingFile, 'utf8').split('\n').flatMap(timingOf);
  const [train, generate] = [rate(lines, 'train'), rate(lines, 'answer')];
  if (train === null || generate === null) return;
  const noted = { ...readBook(home), [sha256OfRecord(numerics)]: { train, generate } };
  writeFileAtomic(join(home, 'throughput.json'), `${JSON.stringify(noted, null, 2)}\n`);
}

/** A line that a crash cut short says nothing. */
function timingOf(line: string): TimingLine[] {
  try {
    return [timingLine.parse(JSON.parse(line))];
  } catch {
    return [];
  }
}

function rate(lines: readonly TimingLine[], kind: TimingLine['kind']): number | null {
  const [tokens, seconds] = lines
    .filter(line => line.kind === kind)
    .reduce(([t, s], line) => [t + line.tokens, s + line.seconds], [0, 0] as [number, number]);
  return tokens > 0 && seconds > 0 ? tokens / seconds : null;
}

function readBook(home: string): z.infer<typeof book> {
  try {
    return readRecord(join(home, 'throughput.json'), book).value ?? {};
  } catch {
    return {};
  }
}
