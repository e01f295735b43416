/** Trajectory-Mixed Supervision, checked against a second writing of it (test/support/reference.ts): harvest, mixture, student, control. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readResults } from '../../src/report/results.ts';
import { findResultModel } from '../../src/run/trainings.ts';
import type { VerbName } from '../../src/worker/protocol.ts';
import { askedIn, callsOf, type Learned, stepsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  isThere,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  stopAt,
  workFolder,
} from '../support/recorded-run.ts';
import {
  answerSeed,
  batchesOf,
  drawOf,
  type Example,
  endId,
  fnv,
  gold,
  identity,
  idsOf,
  learned,
  orderOf,
  philox,
  textOf,
} from '../support/reference.ts';
import {
  examples,
  expectGradients,
  expectTms,
  expectUnbroken,
  type Facts,
  goldBatches,
  Harvest,
  smallFacts,
  smallRun,
  sourcesOf,
  type Target,
  targetsOf,
  trainingsOf,
} from '../support/small-run.ts';
import { distribution, newBigram } from '../support/toy/bigram.ts';

const folder = workFolder();
const tms = (settings: Settings = {}, surroundings = {}) =>
  recordRun(folder, smallRun(folder, settings), surroundings);

/** Run with these keys of `tms`, and compare with the reference under these facts. */
async function check(keys: Settings, facts: Partial<Facts> = {}, more: Settings = {}) {
  const run = await tms({ tms: keys, ...more });
  const startsFrom = keys.student_init === 'sft' ? 'sft' : 'base';
  return { run, ...expectTms(run, { ...smallFacts, ...facts }, startsFrom) };
}

describe('the reference that runs are compared with', () => {
  it('has the published numbers of Philox4x32-10', () => {
    const [counter, key] = [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
    ];
    expect(philox(counter, key)).toEqual([0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });

  it('orders an epoch by a permutation', () => {
    expect(orderOf(7, 3, 50).toSorted((a, b) => a - b)).toEqual([...Array(50).keys()]);
  });
});

describe('a run of TMS', () => {
  it('fine-tunes, lets three checkpoints answer what will be read, and trains a fresh student on the mixture', async () => {
    const { targets, run, trainings } = await check({});
    expect(sourcesOf(targets)).toEqual({ gold: 9, answer: 9, 'gold-for-empty': 5, 'gold-for-unfinished': 7 });
    const student = trainings.student.at(-1)?.after;
    expect(callsOf(run.calls, 'save').at(-1)).toMatchObject({
      params: { kind: 'weights' },
      weights: student,
    });
    expect(student).not.toBe(trainings.sft.at(-1)?.after);
  });

  it('asks for answers at temperature 1 and the whole distribution, with the model’s own stop and the seeds of the recipe', async () => {
    const { harvest } = await check({});
    for (const { params } of harvest.asked)
      expect(params).toEqual({
        maxNewTokens: 9,
        temperature: 1,
        topP: 1,
        topK: 0,
        stopIds: [endId],
        stopTexts: [],
        maxRows: null,
      });
    // One of them by hand: example 0 at step 3 under seed 7.
    const example = { prompt: 'say 0x', completion: 'ab' };
    const seed = philox([3, 0, ...identity(example)], [7, 0x6c3fb02d])[0];
    expect(answerSeed(7, 3, example, 0)).toBe(seed);
  });

  it('asks at the temperature, nucleus, length and width of the configuration', async () => {
    const { harvest } = await check(
      { temperature: 0.5, top_p: 0.75, max_new_tokens: 5 },
      { maxNewTokens: 5 },
      { sampler: { max_rows: 2 } },
    );
    for (const { params } of harvest.asked)
      expect(params).toMatchObject({ maxNewTokens: 5, temperature: 0.5, topP: 0.75, maxRows: 2 });
  });

  it('writes each answer as it was sampled', async () => {
    const { run, harvest, trainings } = await check({});
    const lines = [3, 6, 9].flatMap(step =>
      readRows(run.output, `answers/student/sft-step-00000${step}.jsonl`),
    );
    const written = lines.map(line => {
      const example = examples[line.example] as (typeof examples)[number];
      const asked = harvest.answer(example, line.checkpointStep, line.sample);
      expect(line.id).toBe(
        identity(example)
          .map(word => word.toString(16).padStart(8, '0'))
          .join(''),
      );
      expect(line).toMatchObject({
        attempt: 0,
        seed: asked.seed,
        ids: asked.answer,
        finishReason: asked.isFinished ? 'stop' : 'length',
        text: textOf(asked.answer),
      });
      return asked;
    });
    expect(new Set(written)).toEqual(new Set(harvest.asked));
    const weights = new Set(harvest.asked.map(asked => asked.weights));
    expect(weights).toEqual(new Set([3, 6, 9].map(step => trainings.sft[step - 1]?.after)));
  });

  it('draws, splits and answers otherwise under another seed', async () => {
    await check({}, { seed: 8, dataSeed: 8 }, { seed: 8 });
    await check({}, { dataSeed: 9 }, { data_seed: 9 });
  });
});

describe('the share of gold', () => {
  it('is nothing at α = 0 but what is unusable, and everything at α = 1, where nobody is asked', async () => {
    const none = await check({ alpha: 0 }, { alpha: 0 });
    expect(sourcesOf(none.targets).gold).toBeUndefined();
    const all = await check({ alpha: 1 }, { alpha: 1 });
    expect(sourcesOf(all.targets)).toEqual({ gold: 30 });
    expect(all.harvest.asked).toEqual([]);
    expectGradients(all.trainings.student, goldBatches(smallFacts, 9));
    expect(all.trainings.student.at(-1)?.after).toBe(all.trainings.sft.at(-1)?.after); // α = 1 is SFT
  });

  it('is α of many visits: 25 % of 600 within 4 standard deviations', async () => {
    const facts = { studentSteps: 180 };
    const { targets } = await check({ student: { num_train_epochs: 60 } }, facts);
    const gold = targets.filter(({ record }) => record.source === 'gold').length;
    expect(Math.abs(gold - 150)).toBeLessThan(4 * Math.sqrt(600 * 0.25 * 0.75));
  });

  it('grows with α without another change: a higher one asks for nothing new, a lower one for the difference', async () => {
    const home = `${folder}/alpha`;
    const [middle, high, low] = [
      await tms({ tms: { alpha: 0.4 } }, { home }),
      await tms({ tms: { alpha: 0.7 } }, { home }),
      await tms({ tms: { alpha: 0.1 } }, { home }),
    ];
    // Where the ids of an answer lie depends on which others there are.
    const visits = [low, middle, high].map(({ output }) =>
      readRows(output, 'curriculum.jsonl').map(({ row: _, ...visit }) => visit),
    );
    const [lowVisits = [], middleVisits = [], highVisits = []] = visits;
    const golds = visits.map(lines => lines.filter(line => line.source === 'gold').length);
    expect(golds[0]).toBeLessThan(golds[1] as number);
    expect(golds[1]).toBeLessThan(golds[2] as number);
    middleVisits.forEach((visit, i) => {
      if (visit.source === 'gold') expect(highVisits[i]).toEqual(visit);
      else {
        expect(lowVisits[i]).toEqual(visit);
        expect([visit.source === 'answer' ? 'answer' : visit.source, 'gold']).toContain(highVisits[i].source);
      }
    });
    expect(askedIn(high.calls)).toEqual([]);
    const [first, later] = [askedIn(middle.calls), askedIn(low.calls)];
    const key = ({ prompt, seed }: (typeof first)[number]) => `${prompt} ${seed}`;
    const known = new Set(first.map(key));
    expect(later.length).toBeGreaterThan(0);
    expect(later.filter(asked => known.has(key(asked)))).toEqual([]);
  });
});

describe('beyond the paper', () => {
  it('anneals α from one visit to the next, and takes checkpoints from the first share of SFT alone', async () => {
    const { targets, run } = await check({ alpha: 0.9, alpha_end: 0 }, { alpha: 0.9, alphaEnd: 0 });
    const golds = targets.map(({ record }) => record.source === 'gold');
    expect(golds.slice(0, 10).filter(Boolean).length).toBeGreaterThan(
      golds.slice(-10).filter(Boolean).length,
    );
    expect(readRecord(run.output, 'plan.json').trainings.student.goldShare).toBe(0.45);
    await check({ span: 0.5, num_checkpoints: 2 }, { checkpoints: [3, 5] });
    await check({ span: 0.5, num_checkpoints: 2, spacing: 'geometric' }, { checkpoints: [2, 5] });
  });
});

/** The ids of a sequence that the loss counts. */
const learnedOf = ({ ids, weights }: Learned) => ids.filter((_, i) => weights[i] !== 0);

describe('answers that the base prefers', () => {
  it('are weighed once: a resume reads what the run kept, unless that is damaged', async () => {
    const settings = smallRun(folder, { tms: { prefer_base: 3 } });
    const place = await interruptedRun(folder, settings, { verb: 'optimStep', count: 12 });
    const curriculum = () => readFileSync(`${place.output}/curriculum.jsonl`, 'utf8');
    const before = curriculum();
    const resume = async () => {
      const controller = new AbortController();
      const stop = stopAt(controller, 'optimStep', 1);
      const seen: string[] = [];
      const onCall = (verb: VerbName) => {
        seen.push(verb);
        stop(verb);
      };
      const again = { home: place.home, resume: true, onCall, signal: controller.signal };
      await expect(recordRun(folder, place.settings, again)).rejects.toMatchObject({ exitCode: 130 });
      return seen.filter(verb => verb === 'forward').length;
    };
    expect(await resume()).toBe(0);
    const kept = `${place.output}/targets/student-weights.json`;
    const content = readFileSync(kept, 'utf8');
    writeFileSync(kept, content.replace('-', '-1'));
    expect(await resume()).toBeGreaterThan(0);
    expect(readFileSync(kept, 'utf8')).toBe(content);
    expect(curriculum()).toBe(before);
  });

  /** Of the second exp(−λ·d) is zero in floating point. */
  it.each([3, 3000])(
    'are drawn in proportion to exp(−%i·d), d their mean −log π under the base',
    async lambda => {
      const run = await tms({ tms: { prefer_base: lambda, alpha: 0.2 } });
      const { sft, student } = trainingsOf(run, smallFacts);
      const asked = askedIn(run.calls);
      const toy = newBigram(1);
      const logWeightOf = (example: Example, step: number) => {
        const seed = answerSeed(7, step, example, 0);
        const found = asked.find(one => one.seed === seed && one.weights === sft[step - 1]?.after);
        const { prompt, answer } = found as NonNullable<typeof found>;
        const ids = [...prompt, ...answer];
        const after = (j: number) => distribution(toy, ids[prompt.length + j - 1] as number).logprobs;
        const logprobs = answer.map((id, j) => after(j)[id] as number);
        return (lambda * logprobs.reduce((sum, value) => sum + value, 0)) / answer.length;
      };
      const stepOf = (example: Example, epoch: number) => {
        const logs = [3, 6, 9].map(step => logWeightOf(example, step));
        const [first = 0, second = 0, last = 0] = logs.map(log => Math.exp(log - Math.max(...logs)));
        const words = philox([epoch, 0, ...identity(example)], [7, fnv('target of a visit')]);
        const point = ((words[2] as number) / 2 ** 32) * (first + second + last);
        return point < first ? 3 : point < first + second ? 6 : 9;
      };
      const visits = batchesOf(7, { count: 10, batch: 4, steps: 9 }).flat();
      const plain = visits.map(visit =>
        drawOf({ ...smallFacts, alpha: 0.2, visits: 30 }, visit, examples[visit.example] as Example),
      );
      const expected = visits.map(({ example, epoch }, i) =>
        plain[i] === null ? null : stepOf(examples[example] as Example, epoch),
      );
      const found = readRows(run.output, 'curriculum.jsonl').map(({ checkpointStep }) => checkpointStep);
      expect(found).toEqual(expected);
      const other = plain.filter((draw, i) => draw !== null && draw?.step !== expected[i]).length;
      expect(other).toBeGreaterThan(3);
      expect(asked.filter(({ params }) => params.maxNewTokens === 9)).toHaveLength(30);
      expect(student).toHaveLength(9);
    },
  );
});

describe('how alike gold the targets are', () => {
  it('stands in each step’s line, of gold and answers, and by checkpoint in the report', async () => {
    const { targets, run } = await check({});
    /** Tokens that both have, twice, over the tokens of both. */
    const overlapOf = (answer: readonly number[], example: number) => {
      const own = learnedOf(gold(examples[example] as Example));
      const left = [...own];
      const common = answer.filter(id => {
        const place = left.indexOf(id);
        if (place !== -1) left.splice(place, 1);
        return place !== -1;
      });
      return (2 * common.length) / (answer.length + own.length);
    };
    const lines = readRows(run.output, 'metrics.jsonl').filter(line => line.training === 'student');
    const steps = lines.filter(line => 'loss' in line);
    expect(steps).toHaveLength(9);
    const places = batchesOf(7, { count: 10, batch: 4, steps: 9 });
    let visit = 0;
    for (const [step, batch] of places.entries()) {
      const values = batch.map(({ example }) =>
        overlapOf(learnedOf((targets[visit++] as Target).learned), example),
      );
      const mean = values.reduce((sum, value) => sum + value, 0) / batch.length;
      expect(steps[step]?.gold_overlap).toBeCloseTo(mean, 6);
    }
    const { answerSets } = await readResults(run.output);
    expect(answerSets.map(({ checkpointStep }) => checkpointStep)).toEqual([3, 6, 9]);
    for (const { checkpointStep, gold: found } of answerSets) {
      const name = `answers/student/sft-step-00000${checkpointStep}.jsonl`;
      const answers = readRows(run.output, name) as { ids: number[]; example: number }[];
      const overlaps = answers.map(({ ids, example }) => overlapOf(ids, example));
      const mean = overlaps.reduce((sum, value) => sum + value, 0) / answers.length;
      expect(found?.overlap).toBeCloseTo(mean, 10);
      const same = answers.filter(
        ({ ids, example }) => ids.join() === learnedOf(gold(examples[example] as Example)).join(),
      );
      expect(found?.equal).toBe(same.length);
    }
  });
});

describe('refresh', () => {
  const settings = (keys: Settings = {}) => smallRun(folder, { tms: { refresh: 1, ...keys } });

  it('lets the checkpoints of the student answer as those of SFT did, and trains a fresh student on that', async () => {
    const run = await recordRun(folder, settings());
    const steps = stepsOf(run.calls);
    expect(steps).toHaveLength(27);
    const [base, sft, first, second] = [
      run.calls[0]?.weights ?? '',
      ...[0, 9, 18].map(i => steps.slice(i, i + 9)),
    ];
    const curriculum = readRows(run.output, 'curriculum.jsonl');
    for (const [name, by, trajectory, student] of [
      ['student', 'sft', sft, first],
      ['student-2', 'student', first, second],
    ] as const) {
      const trainings = { base, sft: trajectory ?? [], student: student ?? [], control: [] };
      const harvest = new Harvest(run, smallFacts, trainings);
      const targets = targetsOf(smallFacts, harvest);
      expectUnbroken(student ?? [], base);
      expectGradients(
        student ?? [],
        targets.map(batch => batch.map(target => target.learned)),
      );
      const lines = curriculum.filter(({ training }) => training === name);
      expect(lines).toMatchObject(targets.flat().map(({ record }) => record));
      expect(new Set(lines.map(({ answers }) => answers))).toEqual(new Set([null, by]));
      for (const step of [3, 6, 9]) {
        const answered = readRows(run.output, `answers/${name}/${by}-step-00000${step}.jsonl`);
        const asked = harvest.asked.filter(({ weights }) => weights === trajectory?.[step - 1]?.after);
        expect(answered.length).toBeGreaterThan(0);
        expect(new Set(answered.map(({ seed }) => seed))).toEqual(new Set(asked.map(({ seed }) => seed)));
      }
    }
    expect(findResultModel(run.output)?.training.label).toBe('TMS, round 2');
    const { trainings } = readRecord(run.output, 'plan.json');
    expect(trainings.student.checkpoints).toEqual([3, 6, 9]);
    expect(trainings['student-2']).toMatchObject({ needs: ['student'], startsFrom: 'base', checkpoints: [] });
  });

  it('resumes to the same bytes, wherever it was stopped', async () => {
    const whole = await recordRun(folder, settings({ keep_checkpoints: false }));
    for (const [verb, count] of [
      ['generate', 5],
      ['optimStep', 14],
      ['optimStep', 22],
    ] as const) {
      const stopped = await interruptedRun(folder, settings({ keep_checkpoints: false }), { verb, count });
      await recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
      for (const file of ['metrics.jsonl', 'curriculum.jsonl', 'models/student-2/toy-model.json'])
        expect(readFileSync(`${stopped.output}/${file}`, 'utf8'), `${file} ${verb} ${count}`).toBe(
          readFileSync(`${whole.output}/${file}`, 'utf8'),
        );
    }
  });
});

describe('controls as settings', () => {
  it('let the base alone answer, or the last checkpoint alone; somebody must', async () => {
    const { harvest } = await check(
      { num_checkpoints: 0, include_base: true, alpha: 0.1 },
      { checkpoints: [0], alpha: 0.1 },
    );
    expect(harvest.asked.length).toBeGreaterThan(0);
    await check({ num_checkpoints: 1 }, { checkpoints: [9] });
    await expect(check({ num_checkpoints: 0 })).rejects.toThrow(
      'tms.num_checkpoints: found 0, expected 1 or more, or include_base: true',
    );
  });
});

describe('the student', () => {
  it('starts from the last SFT weights where asked, and from the base otherwise', async () => {
    const { trainings } = await check({ student_init: 'sft' });
    expect(trainings.student[0]?.before).toBe(trainings.sft[8]?.after);
    const { run } = await check({ student_init: 'base' });
    const loads = callsOf(run.calls, 'load');
    expect(loads.at(-1)?.params.model).toBe('toy:1');
  });

  it('has its own rate and length where they are given', async () => {
    const { trainings } = await check(
      { student: { learning_rate: 0.5, num_train_epochs: 2 } },
      { studentSteps: 6 },
      { lr_scheduler_type: 'linear' },
    );
    const rates = trainings.student.map(({ params }) => params.adamw.learningRate);
    expect(rates).toEqual([3, 2.5, 2, 1.5, 1, 0.5].map(rate => expect.closeTo(rate / 6, 9)));
    const sft = trainings.sft.map(({ params }) => params.adamw.learningRate);
    expect(sft).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1].map(rate => expect.closeTo(rate / 9, 9)));
  });

  it('trains for its own epochs where SFT has max_steps', async () => {
    await check(
      { student: { num_train_epochs: 1 } },
      { sftSteps: 5, studentSteps: 3, checkpoints: [2, 3, 5] },
      { max_steps: 5 },
    );
    await check({}, { sftSteps: 5, studentSteps: 5, checkpoints: [2, 3, 5] }, { max_steps: 5 });
  });

  it('takes batches of the same size, with accumulation', async () => {
    const more = { per_device_train_batch_size: 3, gradient_accumulation_steps: 2 };
    await check({}, { batch: 6, sftSteps: 6, studentSteps: 6, checkpoints: [2, 4, 6] }, more);
  });
});

describe('the control', () => {
  it('trains from the base, as long as SFT, on one answer of the base to each prompt', async () => {
    const run = await tms({ controls: { base_samples: true }, lr_scheduler_type: 'linear' });
    const { base, sft, control } = trainingsOf(run, smallFacts);
    const asked = askedIn(run.calls).filter(({ weights }) => weights === base);
    expect(asked.map(({ prompt }) => prompt)).toEqual(examples.map(({ prompt }) => idsOf(prompt)));
    expect(asked.map(({ seed }) => seed)).toEqual(examples.map(example => answerSeed(7, 0, example, 0)));
    expect(asked.map(({ params }) => params.temperature)).toEqual(examples.map(() => 1));
    const answers = asked.map(({ prompt, answer }) => learned(prompt, answer, 40));
    const places = goldBatches(smallFacts, 9).map(batch => batch.map(({ ids }) => promptIn(ids)));
    expectGradients(
      control,
      places.map(batch => batch.map(example => answers[example] ?? learned([], []))),
    );
    expectUnbroken(control, base);
    const rates = (steps: typeof sft) => steps.map(({ params }) => params.adamw.learningRate);
    expect(rates(control)).toEqual(rates(sft));
    expect(isThere(run.output, 'models/base-answers')).toBe(true);
  });

  it('goes with method sft too', async () => {
    const run = await tms({ method: 'sft', controls: { base_samples: true } });
    expect(stepsOf(run.calls)).toHaveLength(18);
    expect(askedIn(run.calls)).toHaveLength(10);
  });
});

function promptIn(ids: readonly number[]): number {
  return examples.findIndex(({ prompt }) => textOf(ids).startsWith(prompt));
}
