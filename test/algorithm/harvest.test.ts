/** Which checkpoints answer, how often, and what becomes of an answer that is unusable. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CallOptions, Channel } from '../../src/worker/channel.ts';
import { askedIn, callsOf } from '../support/recorded-calls.ts';
import {
  isThere,
  readRows,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { expectTms, type Facts, isUsable, smallFacts, smallRun, sourcesOf } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();

/** Run with these keys of `tms`, and compare with the reference under these facts. */
async function check(keys: Settings, facts: Partial<Facts> = {}) {
  const run = await recordRun(folder, smallRun(folder, { tms: keys }));
  return { run, ...expectTms(run, { ...smallFacts, ...facts }) };
}

describe('the checkpoints that answer', () => {
  it.each<[string, Settings, number[]]>([
    ['one: the last', { num_checkpoints: 1 }, [9]],
    ['two of nine steps, the half rounded up', { num_checkpoints: 2 }, [5, 9]],
    ['every step', { num_checkpoints: 9 }, [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ['geometric: 9^(1/3), 9^(2/3), 9', { spacing: 'geometric' }, [2, 4, 9]],
    ['geometric, pushed apart', { spacing: 'geometric', num_checkpoints: 5 }, [2, 3, 4, 6, 9]],
    ['with the base', { include_base: true, num_checkpoints: 2 }, [0, 5, 9]],
  ])('%s', async (_, keys, checkpoints) => {
    const { run, targets } = await check(keys, { checkpoints });
    const files = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].filter(step =>
      isThere(run.output, `answers/student/${step === 0 ? 'base' : 'sft'}-step-00000${step}.jsonl`),
    );
    expect(files).toEqual(checkpoints);
    const drawn = new Set(targets.map(({ record }) => record.checkpointStep));
    expect([...drawn].filter(step => step !== null).every(step => checkpoints.includes(step as number))).toBe(
      true,
    );
  });

  it('speak early to late where asked: each its third of the visits', async () => {
    const { targets } = await check(
      { order: 'early_to_late', alpha: 0 },
      { order: 'early_to_late', alpha: 0 },
    );
    const steps = targets.map(({ record }) => record.checkpointStep);
    expect(steps).toEqual([...Array(10).fill(3), ...Array(10).fill(6), ...Array(10).fill(9)]);
  });

  it('have several answers a prompt where asked, and each visit draws one of them', async () => {
    const { targets } = await check({ samples_per_prompt: 3, alpha: 0 }, { samples: 3, alpha: 0 });
    expect(new Set(targets.map(({ record }) => record.sample))).toEqual(new Set([0, 1, 2]));
  });

  it('answer every prompt where the harvest is not lazy, and the student is the same', async () => {
    const full = await check({ lazy_harvest: false, samples_per_prompt: 2 }, { isLazy: false, samples: 2 });
    expect(full.harvest.asked).toHaveLength(10 * 3 * 2);
    const lazy = await check({ samples_per_prompt: 2 }, { samples: 2 });
    expect(lazy.harvest.asked.length).toBeLessThan(25);
    expect(lazy.trainings.student.at(-1)?.after).toBe(full.trainings.student.at(-1)?.after);
  });

  it('need not be kept: then they answer while training passes them', async () => {
    const { run, trainings } = await check({ keep_checkpoints: false });
    const saved = callsOf(run.calls, 'save');
    expect(saved.map(({ weights }) => weights)).toEqual([
      trainings.sft.at(-1)?.after,
      trainings.student.at(-1)?.after,
    ]);
    const kept = await check({});
    const ofCheckpoints = [3, 6].map(step => kept.trainings.sft[step - 1]?.after);
    expect(callsOf(kept.run.calls, 'save').map(({ weights }) => weights)).toEqual(
      expect.arrayContaining(ofCheckpoints),
    );
  });
});

describe('an answer that is unusable', () => {
  it('is drawn again: the next sample of the same checkpoint, until one is usable', async () => {
    const { targets, run } = await check({ unfinished: 'redraw', max_redraws: 40 }, { redraws: 40 });
    expect(sourcesOf(targets)).toEqual({ gold: 9, answer: 21 });
    const attempts = [3, 6, 9].flatMap(step =>
      readRows(run.output, `answers/student/sft-step-00000${step}.jsonl`).map(line => line.attempt),
    );
    expect(Math.max(...attempts)).toBeGreaterThan(1);
    expect(attempts.filter(attempt => attempt === 0).length).toBeGreaterThan(1);
  });

  it('is gold after max_redraws, and with two samples a prompt no draw meets another', async () => {
    const { targets, harvest } = await check(
      { unfinished: 'redraw', max_redraws: 1, samples_per_prompt: 2, max_new_tokens: 3 },
      { redraws: 1, samples: 2, maxNewTokens: 3 },
    );
    const counts = sourcesOf(targets);
    expect(counts.answer).toBeGreaterThan(0);
    expect((counts['gold-for-unfinished'] ?? 0) + (counts['gold-for-empty'] ?? 0)).toBeGreaterThan(0);
    expect(new Set(harvest.asked.map(({ seed }) => seed)).size).toBe(harvest.asked.length);
  });

  it('is learned as it is where filters are none: cut answers without an end, empty ones as their end', async () => {
    const { targets, harvest, run } = await check({ filters: 'none' }, { isUnfiltered: true });
    expect(sourcesOf(targets)).toEqual({ gold: 9, answer: 9, 'unfinished-answer': 7, 'empty-answer': 5 });
    expect(run.said).toContain(
      'note: student learns unusable answers as they are: 7 unfinished, 5 empty of 21 visits',
    );
    expect(harvest.asked.some(asked => !isUsable(asked))).toBe(true);
  });
});

describe('Ctrl-C while checkpoints answer', () => {
  const rows = Array.from({ length: 300 }, (_, i) => ({ prompt: `say ${i}x`, completion: 'ab' }));

  /** Interrupt the first request for answers, before any or when a part of them is there; how many came, and a resume asked for. */
  async function interruptHarvest(when: 'before any' | 'after a part') {
    const settings = smallRun(folder, {
      dataset_name: writeRows(folder, 'many.jsonl', rows),
      per_device_train_batch_size: 8,
      max_steps: 2,
      tms: { num_checkpoints: 1, lazy_harvest: false },
      output_dir: join(folder, when),
    });
    const [home, controller, toy] = [join(folder, `home ${when}`), new AbortController(), new ToyChannel()];
    const interrupt = () => controller.abort(new Error('interrupted'));
    let [requests, answered] = [0, 0];
    const call: Channel['call'] = (verb, params, tensors, options) => {
      if (verb !== 'generate') return toy.call(verb, params, tensors, options);
      requests += 1;
      if (when === 'before any') setImmediate(interrupt);
      const onPart: CallOptions['onPart'] = part => {
        options?.onPart?.(part);
        answered += part.rows?.data.length ?? 0;
        if (when === 'after a part') interrupt();
      };
      return toy.call(verb, params, tensors, { ...options, onPart });
    };
    const channel = { call, close: () => toy.close() };
    const stopped = recordRun(folder, settings, { home, channel, signal: controller.signal });
    await expect(stopped).rejects.toMatchObject({ exitCode: 130 });
    const resumed = await recordRun(folder, settings, { home, resume: true });
    expect(readRows(resumed.output, 'answers/student/sft-step-000002.jsonl')).toHaveLength(300);
    return { requests, answered, askedAgain: askedIn(resumed.calls).length };
  }

  it('cancels what is asked: a resume asks for all', async () => {
    expect(await interruptHarvest('before any')).toEqual({ requests: 1, answered: 0, askedAgain: 300 });
  });

  it('keeps what has come: a resume asks for those that are missing', async () => {
    const { requests, answered, askedAgain } = await interruptHarvest('after a part');
    expect(requests).toBe(1);
    expect(answered).toBeGreaterThan(0);
    expect(askedAgain).toBe(300 - answered);
    expect(askedAgain).toBeGreaterThan(0);
  });
});
