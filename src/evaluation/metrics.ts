/** An evaluation as the flat numbers of metrics.jsonl. Pure. No name is a path prefix of another: some stores make folders of them. */
import type { EvaluationRecord, SetRecord } from '../run/records.ts';
import type { Divergence } from './divergence.ts';
import type { KlFromBase } from './kl.ts';

export function metricsOf({ sets, pld, kl }: EvaluationRecord): Record<string, number> {
  return Object.assign(
    {},
    ...sets.map(metricsOfSet),
    meanOf('target', sets),
    meanOf('retention', sets),
    divergenceMetrics('test', pld.heldOut),
    divergenceMetrics('train', pld.train),
    klMetrics('target', kl.target),
    klMetrics('retention', kl.retention),
  );
}

function metricsOfSet({
  name,
  scorer,
  accuracy,
  sampledAccuracy,
  unfinished,
}: SetRecord): Record<string, number> {
  return {
    [`eval/${name}/accuracy`]: accuracy,
    ...(sampledAccuracy !== null && { [`eval/${name}/accuracy_t1`]: sampledAccuracy }),
    ...(scorer !== 'multiple_choice' && { [`eval/${name}/unfinished`]: unfinished }),
  };
}

/** `target/mean` and `retention/mean`: the mean over sets, each counting the same. */
function meanOf(role: SetRecord['role'], sets: readonly SetRecord[]): Record<string, number> {
  const accuracies = sets.filter(set => set.role === role).map(({ accuracy }) => accuracy);
  if (accuracies.length === 0) return {};
  return { [`${role}/mean`]: accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / accuracies.length };
}

function divergenceMetrics(split: 'test' | 'train', found: Divergence | null): Record<string, number> {
  if (found === null) return {};
  return {
    [`pld/${split}_nll`]: found.nllPerToken,
    [`pld/${split}_nll_per_sequence`]: found.nllPerSequence,
    [`pld/${split}_bits_per_byte`]: found.bitsPerByte,
  };
}

/** Of KL(base‖model). */
function klMetrics(prompts: SetRecord['role'], found: KlFromBase | null): Record<string, number> {
  if (found === null) return {};
  return {
    [`kl/${prompts}_per_token`]: found.perToken,
    [`kl/${prompts}_per_sequence`]: found.perSequence,
  };
}
