/** Models that take no step of their own: averages with the base, and the point of SFT that evaluation sets choose. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { choosePoint } from '../../src/methods/early-stopped.ts';
import { readResults } from '../../src/report/results.ts';
import { callsOf, stepsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { expectGradients, goldBatches, saySet, smallFacts, smallRun } from '../support/small-run.ts';
import { newBigram } from '../support/toy/bigram.ts';

const folder = workFolder();

function weightsIn(output: string, name: string): Float32Array {
  const bytes = Buffer.from(readRecord(output, `models/${name}/toy-model.json`).weights, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const averaged = (keys: Settings = {}, more: Settings = {}) =>
  smallRun(folder, { method: 'wise-ft', wise_ft: keys, tms: {}, eval: { sets: [saySet(folder)] }, ...more });

describe('an adapter with more than A and B of LoRA', () => {
  it.each(['wise-ft', 'distill'])('is refused by %s before anything is trained', method => {
    const read = (more: string) => () =>
      parseConfig(
        `model_name_or_path: m\noutput_dir: o\ndataset_name: d.jsonl\nmethod: ${method}\nuse_peft: true\n${more}`,
        'my.yaml',
      );
    expect(read('')).not.toThrow();
    expect(read('use_dora: true')).toThrow('found use_dora: true, expected a LoRA adapter without it');
    expect(read('lora_modules_to_save: [lm_head]')).toThrow('found lora_modules_to_save');
  });
});

describe('a run of method wise-ft', () => {
  it('saves and measures weights between those of SFT and of the base at its revision', async () => {
    const run = await recordRun(folder, averaged({ shares: [0.25, 0.5] }, { model_revision: 'r4' }));
    expectGradients(stepsOf(run.calls), goldBatches(smallFacts, 9)); // SFT, and no step more
    const [base, tuned] = [newBigram(5).weights, weightsIn(run.output, 'sft')];
    for (const [name, share] of [
      ['wise-ft-2500', 0.25],
      ['wise-ft-5000', 0.5],
    ] as const) {
      const found = weightsIn(run.output, name);
      const off = found.map((weight, i) =>
        Math.abs(weight - ((1 - share) * (base[i] as number) + share * (tuned[i] as number))),
      );
      expect(Math.max(...off)).toBeLessThan(1e-6);
      expect(found).not.toEqual(tuned);
      const measured = readRecord(run.output, `evaluation/${name}-step-000009.json`);
      expect(measured.sets.map(({ name }: { name: string }) => name)).toEqual(['say']);
      const lines = readRows(run.output, 'metrics.jsonl').filter(({ training }) => training === name);
      expect(lines[0]).toMatchObject({ step: 9, made_of_step: 9, base_share: 1 - share });
    }
    const { trainings, tokens } = readRecord(run.output, 'plan.json');
    expect(trainings['wise-ft-5000']).toMatchObject({ label: 'WiSE-FT, α 0.5', needs: ['sft'], visits: 0 });
    expect(tokens.trained['wise-ft-5000']).toBe(0);
  });

  it('resumes to the same bytes, wherever it was stopped', async () => {
    const whole = await recordRun(folder, averaged());
    for (const [verb, count] of [
      ['load', 2],
      ['save', 2],
      ['generate', 3],
    ] as const) {
      const stopped = await interruptedRun(folder, averaged(), { verb, count });
      await recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
      for (const file of ['metrics.jsonl', 'models/wise-ft-5000/toy-model.json'])
        expect(readFileSync(`${stopped.output}/${file}`, 'utf8'), `${verb} ${count}`).toBe(
          readFileSync(`${whole.output}/${file}`, 'utf8'),
        );
    }
  });

  it('refuses shares that are one, none or the same', () => {
    const parse = (shares: string) =>
      parseConfig(
        'model_name_or_path: m\ndataset_name: d.jsonl\noutput_dir: o\nmethod: wise-ft\n',
        'run.yaml',
        [`wise_ft.shares=${shares}`],
      );
    for (const shares of ['[1]', '[0]', '[]', '[0.5, 0.50001]'])
      expect(() => parse(shares)).toThrow('wise_ft.shares');
  });
});

/** Accuracies on two sets that choose, one of each role, and on one that does not. */
const measured = (target: number, retention: number) =>
  ({
    sets: [
      { name: 'dev', role: 'target', accuracy: target },
      { name: 'keep', role: 'retention', accuracy: retention },
      { name: 'test', role: 'target', accuracy: 1 - target },
    ],
  }) as never;
const point = (step: number, target: number, retention: number) => ({
  step,
  measured: measured(target, retention),
});

describe('the point that sets choose', () => {
  const points = [point(2, 0.5, 0.9), point(4, 0.7, 0.86), point(6, 0.7, 0.8), point(8, 0.6, 0.7)];
  const choose = (choose_by: 'target' | 'retention', max_drop: number) =>
    choosePoint({ choose_by, max_drop, sets: ['dev', 'keep'] }, measured(0.4, 0.9), points);

  it('has the highest target accuracy, the earliest of equals; other sets do not count', () => {
    expect(choose('target', 0)).toBe(4);
  });

  it('loses no more than it may, or least where all lose more', () => {
    expect(choose('retention', 0.05)).toBe(4);
    expect(choose('retention', 0.02)).toBe(2);
    const worse = points.slice(1);
    expect(
      choosePoint(
        { choose_by: 'retention', max_drop: 0, sets: ['dev', 'keep'] },
        measured(0.4, 0.9),
        [...worse].reverse(),
      ),
    ).toBe(4);
  });
});

describe('a run of method early-stopped', () => {
  const sets = [saySet(folder, { count: 4, name: 'dev' }), saySet(folder, { name: 'test' })];
  const settings = (keys: Settings) =>
    smallRun(folder, {
      method: 'early-stopped',
      early_stopped: keys,
      tms: {},
      eval: { sets },
      eval_points: 4,
    });

  it('keeps SFT as it was at the measured point that the selection set chose', async () => {
    const run = await recordRun(folder, settings({ sets: ['dev'] }));
    const accuracyAt = (step: number) =>
      readRecord(run.output, `evaluation/sft-step-00000${step}.json`).sets[0].accuracy;
    const accuracies = [3, 6, 9].map(accuracyAt);
    const step = [3, 6, 9][accuracies.indexOf(Math.max(...accuracies))] as number;
    const own = readRecord(run.output, 'evaluation/early-stopped-step-000009.json');
    const then = readRecord(run.output, `evaluation/sft-step-00000${step}.json`);
    expect(own.weightsDigest).toBe(then.weightsDigest);
    expect(own.sets).toEqual(then.sets);
    expect(readRecord(run.output, 'plan.json').methods['early-stopped'].selectionSets).toEqual(['dev']);
    const { evaluations } = await readResults(run.output);
    expect(new Set(evaluations.flatMap(one => one.sets.map(({ name }) => name)))).toEqual(new Set(['test']));
    expect(run.said).toContain(`dev chose SFT at step ${step} of 9`);
    expect(stepsOf(run.calls)).toHaveLength(9);
    expect(callsOf(run.calls, 'generate')).toHaveLength(4); // the base and three points; the chosen one is known
  });

  it('needs sets that choose and others to report on', async () => {
    await expect(recordRun(folder, settings({ sets: ['dev', 'test'] }))).rejects.toThrow(
      'found 2 of 2 target sets, expected a target set that chooses, and another one to report on',
    );
    await expect(recordRun(folder, settings({}))).rejects.toThrow('found 0 of 2 target sets');
    await expect(recordRun(folder, settings({ sets: ['dev', 'nowhere'] }))).rejects.toThrow('nowhere');
  });
});
