/** On-policy distillation, with and without gold in the teacher's prompt, against what the toy must give and get. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { framedExample } from '../../src/data/frame.ts';
import { askedIn, callsOf, type Recorded, rowsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  type RecordedRun,
  readRecord,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { answerSeed, batchesOf, type Example, idsOf } from '../support/reference.ts';
import { examples, smallRun } from '../support/small-run.ts';
import { distribution, newBigram } from '../support/toy/bigram.ts';

const folder = workFolder();
const settings = (method: Settings, more: Settings = {}) =>
  smallRun(folder, { tms: {}, max_steps: 4, per_device_train_batch_size: 2, ...method, ...more });
const sdft = (keys: Settings = {}) => ({ method: 'sdft', sdft: { max_new_tokens: 5, top_k: 3, ...keys } });
const distill = (keys: Settings = {}) => ({
  method: 'distill',
  distill: { max_new_tokens: 5, top_k: 3, ...keys },
});

type Gradients = Recorded<'forwardBackward'>;

/** What was sent for the visits of a step: own answers, and for each token what a teacher with these weights says in its place. */
function expectDistilled(
  { params, tensors }: Gradients,
  answers: { prompt: readonly number[]; answer: readonly number[] }[],
  teacher: ReturnType<typeof newBigram>,
): void {
  expect(rowsOf(tensors, 'ids')).toEqual(answers.map(({ prompt, answer }) => [...prompt, ...answer]));
  expect(rowsOf(tensors, 'matchWeights')).toEqual(
    answers.map(({ prompt, answer }) => [...prompt.map(() => 0), ...answer.map(() => 1)]),
  );
  const tokens = answers.reduce((sum, { answer }) => sum + answer.length, 0);
  expect(params).toMatchObject({ ce: null, match: { normalizer: tokens } });
  const expected = answers.flatMap(({ prompt, answer }) =>
    [...prompt, ...answer].flatMap((_, j, ids) => {
      const { logprobs } = distribution(teacher, ids[j - 1] ?? 0);
      const best = [...logprobs.keys()].sort((a, b) => (logprobs[b] ?? 0) - (logprobs[a] ?? 0)).slice(0, 3);
      return best.map(id => (j < prompt.length ? [0, 0] : [id, Math.fround(logprobs[id] ?? 0)]));
    }),
  );
  const given = [...(tensors.targetLogprobs?.data ?? [])];
  expect([...(tensors.targetIds?.data ?? [])].map((id, i) => [id, given[i]])).toEqual(expected);
}

/** Answers to the prompts of each step, which must be asked of the weights before it. */
function answersBySteps(run: RecordedRun, skip = 0) {
  const asked = askedIn(run.calls).filter(({ params }) => params.maxNewTokens === 5);
  const before = [
    run.calls[0]?.weights,
    ...callsOf(run.calls, 'optimStep').map(({ weights }) => weights),
  ].slice(skip);
  return batchesOf(7, { count: 10, batch: 2, steps: 4 }).map((visits, step) =>
    visits.map(visit => {
      const example = examples[visit.example] as Example;
      const seed = answerSeed(7, step, example, 0);
      const found = asked.find(one => one.seed === seed && one.weights === before[step]);
      if (found === undefined) throw new Error(`step ${step}: nobody asked ${example.prompt}`);
      return found;
    }),
  );
}

describe('a run of method sdft', () => {
  it('learns on own answers what the base says with the gold answer in its prompt', async () => {
    const frame = '[{answer}] {prompt}';
    const run = await recordRun(folder, settings(sdft({ teacher: 'base', frame, direction: 'reverse' })));
    const gradients = callsOf(run.calls, 'forwardBackward');
    const steps = answersBySteps(run);
    // The toy sees but the token before: of the first token of an answer that is the end of the teacher's prompt, the same here.
    for (const [step, answers] of steps.entries())
      expectDistilled(gradients[step] as Gradients, answers, newBigram(1));
    expect(gradients[0]?.params.match?.direction).toBe('reverse');
    const seen = callsOf(run.calls, 'forward').filter(({ params }) => params.kept);
    const [visit] = batchesOf(7, { count: 10, batch: 2, steps: 1 })[0] ?? [];
    const example = examples[visit?.example ?? 0] as Example;
    expect(rowsOf(seen[0]?.tensors ?? {}, 'ids')[0]).toEqual([
      ...idsOf(`[${example.completion}] ${example.prompt}`),
      ...(steps[0]?.[0]?.answer ?? []),
    ]);
    expect(callsOf(run.calls, 'keep').map(({ params }) => params)).toMatchObject([{ model: null, share: 1 }]);
  });

  it('has a teacher that follows: after each step it is an exponential average', async () => {
    const frame = '{prompt} {answer}'; // another last token: the teacher says something else
    const run = await recordRun(folder, settings(sdft({ ema_rate: 0.5, frame })));
    const order = run.calls.map(({ verb }) => verb).filter(verb => ['keep', 'optimStep'].includes(verb));
    expect(order).toEqual(['keep', ...Array(4).fill(['optimStep', 'keep']).flat()]);
    expect(callsOf(run.calls, 'keep').map(({ params }) => params.share)).toEqual([1, 0.5, 0.5, 0.5, 0.5]);
    const frozen = await recordRun(folder, settings(sdft({ teacher: 'base', frame })));
    const norms = ({ calls }: RecordedRun) =>
      callsOf(calls, 'optimStep').map(({ reply }) => reply?.result.gradNorm ?? 0);
    expect(norms(run)[0]).toBe(norms(frozen)[0]);
    expect(norms(run)[0]).toBeGreaterThan(0.01);
    expect(norms(run)[3]).not.toBe(norms(frozen)[3]);
  });

  it('resumes to the same bytes from a state that holds the average', async () => {
    const more = { save_steps: 2 };
    const followed = sdft({ ema_rate: 0.5, frame: '{prompt} {answer}' });
    const whole = await recordRun(folder, settings(followed, more));
    const stopped = await interruptedRun(folder, settings(followed, more), {
      verb: 'optimStep',
      count: 3,
    });
    await recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
    for (const file of ['metrics.jsonl', 'models/sdft/toy-model.json'])
      expect(readFileSync(`${stopped.output}/${file}`, 'utf8')).toBe(
        readFileSync(`${whole.output}/${file}`, 'utf8'),
      );
  });

  it('needs a frame that shows question and answer', async () => {
    await expect(recordRun(folder, settings(sdft({ frame: '{prompt}' })))).rejects.toThrow(
      'sdft.frame: found "{prompt}", expected a text with {prompt} and {answer}',
    );
  });
});

describe('a framed prompt', () => {
  it('has question and answer in their places as they are, in a chat in the last message of the user', () => {
    const frame = '{prompt}\n{answer}!';
    expect(framedExample({ prompt: 'say $& {answer}', completion: 'x' }, frame)).toEqual({
      prompt: 'say $& {answer}\nx!',
      completion: null,
    });
    const prompt = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
    ];
    const completion = [{ role: 'assistant', content: 'gold' }];
    expect(framedExample({ prompt, completion }, frame).prompt).toEqual([
      ...prompt.slice(0, 3),
      { role: 'user', content: 'c\ngold!' },
    ]);
  });
});

describe('a run of method distill', () => {
  it('goes on from SFT, and learns on own answers what the base says in the place of each token', async () => {
    const run = await recordRun(folder, settings(distill(), { model_revision: 'r4' }));
    const gradients = callsOf(run.calls, 'forwardBackward').slice(4);
    for (const [step, answers] of answersBySteps(run, 4).entries())
      expectDistilled(gradients[step] as Gradients, answers, newBigram(5));
    expect(gradients[0]?.params.match?.direction).toBe('reverse');
    expect(callsOf(run.calls, 'keep').map(({ params }) => params.model)).toEqual(['toy:1']);
    const { trainings } = readRecord(run.output, 'plan.json');
    expect(trainings.distill).toMatchObject({ startsFrom: 'sft', needs: ['sft'] });
  });

  it('learns from another teacher, from the base on where asked; the base cannot teach itself', async () => {
    const asked = settings(distill({ teacher: 'toy:2', start: 'base' }), { model_revision: 'r4' });
    const run = await recordRun(folder, asked); // the revision is the base's
    const gradients = callsOf(run.calls, 'forwardBackward');
    for (const [step, answers] of answersBySteps(run).entries())
      expectDistilled(gradients[step] as Gradients, answers, newBigram(2));
    await expect(recordRun(folder, settings(distill({ start: 'base' })))).rejects.toThrow(
      'distill.start: found base, expected sft, or a teacher',
    );
  });
});
