/** Group relative policy optimisation, checked by hand: who is asked, how rewards become weights of tokens, and that it resumes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { askedIn, callsOf, type Recorded, rowsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { answerSeed, batchesOf, type Example, textOf } from '../support/reference.ts';
import { examples, smallRun } from '../support/small-run.ts';

const folder = workFolder();
/** Rewards an answer by its small letters: 0, 1/2 or 1. */
const module = join(folder, 'letters.mjs');
writeFileSync(
  module,
  'export const score = (question, answer) => 0.1 + 0.3 * Math.min(2, answer.replace(/[^a-z]/g, "").length);\n',
);

const settings = (keys: Settings = {}, more: Settings = {}) =>
  smallRun(folder, {
    method: 'grpo',
    grpo: { group_size: 3, max_new_tokens: 5, reward: { scorer: 'module', module }, ...keys },
    tms: {},
    max_steps: 4,
    per_device_train_batch_size: 2,
    ...more,
  });

/** The mean of three times 0.1 is not 0.1. */
const rewardOf = (answer: readonly number[]) =>
  0.1 + 0.3 * Math.min(2, textOf(answer).replace(/[^a-z]/g, '').length);

/** (r − mean)/(s + 10⁻⁴) with the unbiased s; nothing in a group without differences. */
function advantages(rewards: readonly number[]): number[] | null {
  const mean = rewards.reduce((a, b) => a + b, 0) / rewards.length;
  const s = Math.sqrt(rewards.reduce((sum, reward) => sum + (reward - mean) ** 2, 0) / (rewards.length - 1));
  return new Set(rewards).size === 1 ? null : rewards.map(reward => (reward - mean) / (s + 1e-4));
}

describe('a run of method grpo', () => {
  it('asks the weights before each step, weighs tokens by group advantages, and steps on their mean', async () => {
    const run = await recordRun(folder, settings());
    const asked = askedIn(run.calls).filter(({ params }) => params.maxNewTokens === 5);
    const steps = batchesOf(7, { count: 10, batch: 2, steps: 4 });
    const gradients = callsOf(run.calls, 'forwardBackward');
    const weightsBefore = [
      run.calls[0]?.weights,
      ...callsOf(run.calls, 'optimStep').map(({ weights }) => weights),
    ];
    let [answer, update] = [0, 0];
    const lines = readRows(run.output, 'metrics.jsonl').filter(line => 'reward' in line);
    for (const [step, visits] of steps.entries()) {
      const groups = visits.map(visit => {
        const group = asked.slice(answer, answer + 3);
        answer += 3;
        const example = examples[visit.example] as Example;
        expect(group.map(({ seed }) => seed)).toEqual(
          [0, 1, 2].map(sample => answerSeed(7, step, example, sample)),
        );
        expect(new Set(group.map(({ weights }) => weights))).toEqual(new Set([weightsBefore[update]]));
        return group;
      });
      const rewards = groups.map(group => group.map(one => rewardOf(one.answer)));
      const expected = groups.flatMap((group, g) => {
        const weights = advantages(rewards[g] ?? []);
        const of = (one: (typeof group)[number], i: number) => ({
          ids: [...one.prompt, ...one.answer],
          prompt: one.prompt.length,
          advantage: weights?.[i] ?? 0,
        });
        return weights === null ? [] : group.map(of);
      });
      expect(lines[step]).toMatchObject({
        training: 'grpo',
        step: step + 1,
        reward: expect.closeTo(rewards.flat().reduce((a, b) => a + b, 0) / 6, 12),
        groups_without_signal: rewards.filter(group => new Set(group).size === 1).length,
        unfinished: groups.flat().filter(one => !one.isFinished).length,
      });
      const rollouts = readRows(run.output, 'rollouts', 'grpo', `step-00000${step + 1}.jsonl`);
      expect(rollouts).toEqual(
        expected.map(({ ids, prompt, advantage }) => ({
          ids,
          promptLength: prompt,
          advantage: expect.closeTo(advantage, 6),
        })),
      );
      if (expected.length === 0) continue; // no group says anything: no step is taken
      expectWeighed(gradients[update++] as Recorded<'forwardBackward'>, expected);
    }
    expect(update).toBeGreaterThan(1);
    expect(gradients).toHaveLength(update);
    expect(answer).toBe(asked.length);
  });

  function expectWeighed(
    { params, tensors }: Recorded<'forwardBackward'>,
    expected: { ids: number[]; prompt: number; advantage: number }[],
  ): void {
    expect(rowsOf(tensors, 'ids')).toEqual(expected.map(({ ids }) => ids));
    const rows = (value: (one: (typeof expected)[number]) => number) =>
      expected.map(one => one.ids.map((_, j) => (j < one.prompt ? 0 : value(one))));
    expect(rowsOf(tensors, 'policyGradientWeights')).toEqual(rows(() => 1));
    expect(rowsOf(tensors, 'advantages')).toEqual(
      rows(({ advantage }) => expect.closeTo(advantage, 6) as never),
    );
    const tokens = expected.reduce((sum, { ids, prompt }) => sum + ids.length - prompt, 0);
    expect(params).toMatchObject({
      ce: null,
      policyGradient: { normalizer: tokens, clipLow: 0.2, clipHigh: 0.2, klCoefficient: 0 },
    });
    for (const [i, row] of rowsOf(tensors, 'oldLogprobs').entries()) {
      expect(row.slice(0, expected[i]?.prompt)).toEqual(row.slice(0, expected[i]?.prompt).map(() => 0));
      expect(row.slice(expected[i]?.prompt).every(value => value < 0)).toBe(true);
    }
  }

  it('resumes to the same bytes, wherever it was stopped', async () => {
    const whole = await recordRun(folder, settings({}, { save_steps: 2 }));
    for (const [verb, count] of [
      ['generate', 2],
      ['optimStep', 2],
      ['save', 1],
    ] as const) {
      const stopped = await interruptedRun(folder, settings({}, { save_steps: 2 }), { verb, count });
      await recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
      const metrics = (output: string) => readRows(output, 'metrics.jsonl');
      expect(metrics(stopped.output), `${verb} ${count}`).toEqual(metrics(whole.output));
      const model = (output: string) => readRecord(output, 'models/grpo/toy-model.json');
      expect(model(stopped.output)).toEqual(model(whole.output));
    }
  });

  it('holds answers against the base where KL is asked for, and goes on from the very state', async () => {
    const run = await recordRun(folder, settings({ kl_coefficient: 0.1 }));
    const [first] = callsOf(run.calls, 'forwardBackward');
    expect(first?.params.policyGradient).toMatchObject({ klCoefficient: 0.1 });
    // At the first step with a signal before any update the policy is the base.
    const [old, reference] = ['oldLogprobs', 'referenceLogprobs'].map(name =>
      rowsOf(first?.tensors ?? {}, name),
    );
    const prompts = rowsOf(first?.tensors ?? {}, 'policyGradientWeights').map(row => row.indexOf(1));
    prompts.forEach((prompt, i) => {
      expect(reference?.[i]?.slice(prompt)).toEqual(
        old?.[i]?.slice(prompt).map(value => expect.closeTo(value, 5)),
      );
    });
    const plain = await recordRun(folder, settings({ kl_coefficient: 1e-12 }));
    const none = await recordRun(folder, settings());
    const norms = ({ output }: { output: string }) =>
      readRows(output, 'metrics.jsonl').map(({ grad_norm: norm }) => norm?.toPrecision(5));
    expect(norms(plain)).toEqual(norms(none));
  });
});
