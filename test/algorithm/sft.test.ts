/** What fine-tuning asks of the worker, request by request: what is learned, at which rates, with which optimiser. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { callsOf, stepsOf, type TrainingStep } from '../support/recorded-calls.ts';
import {
  isThere,
  type RecordedRun,
  readRows,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { type Example, endId, fnv, gold, idsOf, philox } from '../support/reference.ts';
import {
  examples,
  expectGradients,
  expectUnbroken,
  goldBatches,
  smallFacts,
  smallRun,
} from '../support/small-run.ts';
import { loadWeights } from '../support/toy/files.ts';

const folder = workFolder();
const sft = (settings: Settings = {}): Promise<RecordedRun> =>
  recordRun(folder, smallRun(folder, { method: 'sft', ...settings }));
const stepsWith = async (settings: Settings): Promise<TrainingStep[]> => stepsOf((await sft(settings)).calls);
const ratesOf = (steps: readonly TrainingStep[]): number[] =>
  steps.map(({ params }) => params.adamw.learningRate);

describe('a run of method sft', () => {
  it('loads the base, learns every reference with its end and no prompt, and keeps the last weights', async () => {
    const run = await sft();
    const steps = stepsOf(run.calls);
    const base = callsOf(run.calls, 'load')[0];
    expect(base?.params).toMatchObject({
      model: 'toy:1',
      adapter: null,
      dtype: 'float32',
      restoreTrainingState: false,
    });
    expectUnbroken(steps, base?.weights ?? '');
    expectGradients(steps, goldBatches(smallFacts, 9));
    // By hand: the prompt `say 0x` is 6 ids, its completion `ab` with the end is 3.
    const all = steps.flatMap(({ sequences }) => sequences);
    const first = all.find(({ ids }) => String(ids.slice(0, 6)) === String(idsOf('say 0x')));
    expect(first).toEqual({ ids: [...idsOf('say 0xab'), endId], weights: [0, 0, 0, 0, 0, 0, 1, 1, 1] });
    expect(all).toHaveLength(30);
    const saved = callsOf(run.calls, 'save').at(-1);
    expect(saved?.params.kind).toBe('weights');
    expect(saved?.reply?.result.weightsDigest).toBe(steps.at(-1)?.after);
    expect(isThere(run.output, 'models/sft')).toBe(true);
    expect(isThere(run.output, 'models/student')).toBe(false);
    expect(callsOf(run.calls, 'generate')).toEqual([]);
  });

  it('writes what it did: the mean loss a token, the rate, the norm, the tokens, the share of an epoch', async () => {
    const run = await sft({ lr_scheduler_type: 'linear' });
    const steps = stepsOf(run.calls);
    const norms = callsOf(run.calls, 'optimStep').map(({ reply }) => reply?.result.gradNorm);
    const lines = readRows(run.output, 'metrics.jsonl').filter(line => 'loss' in line);
    expect(lines).toEqual(
      steps.map(({ lossSum, normalizers: [normalizer], tokens, params }, i) => ({
        training: 'sft',
        step: i + 1,
        epoch: (i + 1) / 3,
        loss: lossSum / (normalizer ?? 0),
        learning_rate: params.adamw.learningRate,
        grad_norm: norms[i],
        num_tokens: tokens,
      })),
    );
    // An example has 6 ids of prompt, its completion and an end: `ab` 9, `ba` 9, `aab` 10, `b` 8, `abab` 11; 94 an epoch.
    expect(lines.slice(0, 3).reduce((sum, line) => sum + line.num_tokens, 0)).toBe(94);
  });

  it('takes batch × accumulation examples a step', async () => {
    const steps = await stepsWith({ per_device_train_batch_size: 2, gradient_accumulation_steps: 3 });
    expectGradients(steps, goldBatches({ ...smallFacts, batch: 6 }, 6));
    expect(steps.map(({ sequences }) => sequences.length)).toEqual([6, 4, 6, 4, 6, 4]);
  });

  it('draws the order from data_seed where it is given, else from seed', async () => {
    expectGradients(await stepsWith({ data_seed: 8 }), goldBatches({ ...smallFacts, dataSeed: 8 }, 9));
    expectGradients(await stepsWith({ seed: 8 }), goldBatches({ ...smallFacts, dataSeed: 8 }, 9));
  });

  it('trains for max_steps where it is given, for a share of an epoch where epochs are a fraction', async () => {
    expectGradients(await stepsWith({ max_steps: 4 }), goldBatches(smallFacts, 4));
    expectGradients(await stepsWith({ num_train_epochs: 1.5 }), goldBatches(smallFacts, 5)); // ⌈1.5 · 3⌉
  });

  it('says which share of the updates was rounded away, and notes it with the step', async () => {
    const first = (learning_rate: number) => sft({ learning_rate, max_steps: 1 });
    const weightsOf = ({ output }: { output: string }) => loadWeights(join(output, 'models', 'sft'));
    const [base, moved, tiny] = [loadWeights('toy:1'), await first(1), await first(1e-8)];
    // A weight with a gradient is one that a large step moves.
    const [far, near] = [weightsOf(moved), weightsOf(tiny)];
    const reached = [...base.keys()].filter(i => far[i] !== base[i]);
    const share = reached.filter(i => near[i] === base[i]).length / reached.length;
    expect(share).toBeGreaterThan(0.1);
    expect(readRows(tiny.output, 'metrics.jsonl')).toContainEqual(
      expect.objectContaining({ training: 'sft', step: 1, lost_updates: share }),
    );
    expect(tiny.said.filter(line => line.startsWith('warning: step 1 of sft: '))).toEqual([
      expect.stringContaining(
        `${(100 * share).toFixed(0)} % of the weights that had a gradient did not change`,
      ),
    ]);
    expect(readRows(moved.output, 'metrics.jsonl').some(line => 'lost_updates' in line)).toBe(false);
    expect(moved.said.filter(line => line.startsWith('warning'))).toEqual([]);
  });

  it('counts lost updates at sixteen steps of a long training, where the rate is above 0, and says so once', async () => {
    const run = await sft({
      learning_rate: 1e-8,
      max_steps: 33,
      lr_scheduler_type: 'linear',
      warmup_steps: 4,
    });
    const counted = callsOf(run.calls, 'optimStep').flatMap(({ params }, step) =>
      params.countUpdates ? [step + 1] : [],
    );
    // Every ⌈33/16⌉ = 3rd, back from the last; step 1 has rate 0 and is none of them anyway.
    expect(counted).toEqual([3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33]);
    expect(run.said.filter(line => line.includes('rounded away'))).toHaveLength(1);
    const short = await sft({
      learning_rate: 1e-8,
      max_steps: 2,
      lr_scheduler_type: 'linear',
      warmup_steps: 1,
    });
    const asked = callsOf(short.calls, 'optimStep').map(({ params }) => params.countUpdates);
    expect(asked).toEqual([false, true]);
  });

  it('that changed no weight ends as a failure, also the student of such a run', async () => {
    const still = { learning_rate: 1e-40 };
    await expect(sft(still)).rejects.toMatchObject({
      message:
        'the training of sft changed no weight: after 9 steps at up to 1e-40 they are bit for bit those that it began with',
      fix: 'raise learning_rate',
      exitCode: 1,
    });
    const student = { tms: { student: still, student_init: 'sft' } };
    await expect(recordRun(folder, smallRun(folder, student))).rejects.toThrow(
      'the training of student changed no weight',
    );
  });

  it('cuts what is longer than max_length at its end, and then learns no end', async () => {
    const steps = await stepsWith({ max_length: 9, max_too_long_fraction: 1, num_train_epochs: 1 });
    expectGradients(steps, goldBatches(smallFacts, 3, 9));
    const longest = steps.flatMap(({ sequences }) => sequences).filter(({ ids }) => ids.at(-1) !== endId);
    expect(longest.map(({ ids }) => ids.length)).toEqual([9, 9, 9, 9]); // aab, abab, twice each
  });

  it('leaves out what is too long, and what it cannot use', async () => {
    const again = examples[0] as Example;
    const rows = [again, { prompt: 'say nothing', completion: ' ' }, ...examples];
    const steps = await stepsWith({
      dataset_name: writeRows(folder, 'more.jsonl', rows),
      max_length: 9,
      too_long: 'drop',
      max_too_long_fraction: 1,
      duplicates: 'drop',
      max_train_samples: 9,
      num_train_epochs: 1,
      per_device_train_batch_size: 100,
    });
    const texts = steps.flatMap(({ sequences }) => sequences).map(({ ids }) => String(ids));
    const wanted = [0, 1, 3, 5, 6, 8].map(
      i => `say ${i}${'xyb'[i % 3]}${['ab', 'ba', 'aab', 'b', 'abab'][i % 5]}`,
    );
    expect(texts.toSorted()).toEqual(wanted.map(text => String([...idsOf(text), endId])).toSorted());
  });

  it('holds out the prompts with the smallest hashes, and never learns them', async () => {
    const hashOf = ({ prompt }: Example) => {
      const key = createHash('sha256').update(JSON.stringify(prompt)).digest().readUInt32BE(0);
      return philox([0, 0, 0, key], [7, fnv('held-out')])[0] as number;
    };
    const smallest = examples.toSorted((one, other) => hashOf(one) - hashOf(other)).slice(0, 3);
    const steps = await stepsWith({ dataset_test_name: null, test_size: 3, num_train_epochs: 1 });
    const learnt = steps.flatMap(({ sequences }) => sequences.map(({ ids }) => String(ids)));
    const others = examples.filter(example => !smallest.includes(example));
    expect(learnt.toSorted()).toEqual(others.map(example => String(gold(example).ids)).toSorted());
  });
});

describe('the learning rate of each step', () => {
  it.each<[string, Settings, number[]]>([
    ['constant', {}, [1, 1, 1, 1, 1, 1, 1, 1, 1]],
    [
      'constant after two steps',
      { lr_scheduler_type: 'constant_with_warmup', warmup_steps: 2 },
      [0, 0.5, 1, 1, 1, 1, 1, 1, 1],
    ],
    ['linear to 0', { lr_scheduler_type: 'linear', learning_rate: 9 }, [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    [
      'linear after a third',
      { lr_scheduler_type: 'linear', learning_rate: 6, warmup_ratio: 0.33 },
      [0, 2, 4, 6, 5, 4, 3, 2, 1],
    ],
    [
      'linear after a share',
      { lr_scheduler_type: 'linear', learning_rate: 6, warmup_steps: 0.3 },
      [0, 2, 4, 6, 5, 4, 3, 2, 1],
    ],
    [
      'cosine: (1 + cos(πt/8))/2',
      { lr_scheduler_type: 'cosine', warmup_steps: 1 },
      [0, 1, 0.96194, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.03806],
    ],
  ])('%s', async (_, settings, rates) => {
    expect(ratesOf(await stepsWith(settings))).toEqual(rates.map(rate => expect.closeTo(rate, 6)));
  });
});

describe('the optimiser', () => {
  it('is AdamW with the numbers of the configuration, and clips at max_grad_norm', async () => {
    const [step] = await stepsWith({
      learning_rate: 0.5,
      adam_beta1: 0.8,
      adam_beta2: 0.9,
      adam_epsilon: 1e-5,
      weight_decay: 0.125,
      max_grad_norm: 0.75,
    });
    expect(step?.params).toMatchObject({
      adamw: {
        learningRate: 0.5,
        beta1: 0.8,
        beta2: 0.9,
        epsilon: 1e-5,
        weightDecay: 0.125,
        eightBit: false,
      },
      muon: null,
      maxGradNorm: 0.75,
    });
  });

  it('by default has transformers’ numbers; a norm of 0 is no limit', async () => {
    const [step] = await stepsWith({});
    expect(step?.params).toMatchObject({
      adamw: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, eightBit: false },
      maxGradNorm: 1,
    });
    const unclipped = await stepsWith({ max_grad_norm: 0 });
    expect(unclipped.map(({ params }) => params.maxGradNorm)).toEqual(unclipped.map(() => null));
  });

  it('is Muon for matrices where it is asked for, at the rate and decay of AdamW, step by step', async () => {
    const run = await recordRun(
      folder,
      smallRun(folder, { optim: 'muon', weight_decay: 0.25, lr_scheduler_type: 'linear', learning_rate: 9 }),
    );
    const steps = stepsOf(run.calls);
    expect(steps).toHaveLength(18); // the student's too
    expect(steps.map(({ params }) => params.muon)).toMatchObject(
      [9, 8, 7, 6, 5, 4, 3, 2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(learningRate => ({
        learningRate,
        weightDecay: 0.25,
      })),
    );
    expect(ratesOf(steps)).toEqual(steps.map(({ params }) => params.muon?.learningRate));
  });

  it('asks for moments in 8 bits where the config does', async () => {
    const steps = stepsOf((await recordRun(folder, smallRun(folder, { optim: 'adamw_8bit' }))).calls);
    expect(new Set(steps.map(({ params }) => params.adamw.eightBit))).toEqual(new Set([true]));
  });

  it('draws dropout anew in each step, and the same again in another run', async () => {
    const seeds = (await stepsWith({})).flatMap(({ dropoutSeeds }) => dropoutSeeds);
    expect(new Set(seeds).size).toBe(9);
    expect((await stepsWith({})).flatMap(({ dropoutSeeds }) => dropoutSeeds)).toEqual(seeds);
    expect((await stepsWith({ seed: 8 })).flatMap(({ dropoutSeeds }) => dropoutSeeds)).not.toEqual(seeds);
  });
});
