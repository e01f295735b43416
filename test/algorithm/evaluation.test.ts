/** What is measured where, how questions are asked, and accuracies by hand. */
import { describe, expect, it } from 'vitest';
import { reportMarkdown } from '../../src/report/markdown.ts';
import { readResults } from '../../src/report/results.ts';
import { analyse } from '../../src/report/rows.ts';
import {
  askedAt,
  choices,
  greedy,
  keep,
  logprobOf,
  type Measured,
  measuredRun,
  wordsOf,
} from '../support/measured-run.ts';
import {
  callsOf,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { endId, fnv, idsOf, philox, textOf } from '../support/reference.ts';
import { examples, saySet, smallRun } from '../support/small-run.ts';

const folder = workFolder();
let shared: Promise<Measured> | null = null;
const measured = (): Promise<Measured> => {
  shared ??= measuredRun(folder);
  return shared;
};

describe('evaluations', () => {
  it('are made of the base and at steps 3, 6 and 9 of each training, of the weights that stood there', async () => {
    const { run, trainings } = await measured();
    const { base, sft, student } = trainings;
    const digest = (name: string) => readRecord(run.output, 'evaluation', `${name}.json`).weightsDigest;
    expect(digest('base-step-000000')).toBe(base);
    for (const step of [3, 6, 9]) {
      expect(digest(`sft-step-00000${step}`)).toBe(sft[step - 1]?.after);
      expect(digest(`student-step-00000${step}`)).toBe(student[step - 1]?.after);
    }
  });

  it('stand in metrics.jsonl as numbers, each where it was made', async () => {
    const { output } = (await measured()).run;
    const lines = readRows(output, 'metrics.jsonl').filter(line => !('loss' in line));
    expect(lines.map(({ training, step }) => [training, step])).toEqual([
      ['base', 0],
      ...['sft', 'student'].flatMap(stage => [3, 6, 9].map(step => [stage, step])),
    ]);
    const { sets, pld, kl } = (await measured()).found.student;
    const [say, kept, chosen] = sets;
    expect(lines.at(-1)).toEqual({
      training: 'student',
      step: 9,
      'eval/say/accuracy': say.accuracy,
      'eval/say/accuracy_t1': say.sampledAccuracy,
      'eval/say/unfinished': say.unfinished,
      'eval/keep/accuracy': kept.accuracy,
      'eval/keep/unfinished': kept.unfinished,
      'eval/choose/accuracy': chosen.accuracy,
      'target/mean': say.accuracy,
      'retention/mean': (kept.accuracy + chosen.accuracy) / 2,
      'pld/test_nll': pld.test.nllPerToken,
      'pld/test_nll_per_sequence': pld.test.nllPerSequence,
      'pld/test_bits_per_byte': pld.test.bitsPerByte,
      'pld/train_nll': pld.train.nllPerToken,
      'pld/train_nll_per_sequence': pld.train.nllPerSequence,
      'pld/train_bits_per_byte': pld.train.bitsPerByte,
      'kl/target_per_token': kl.target.perToken,
      'kl/target_per_sequence': kl.target.perSequence,
      'kl/retention_per_token': kl.retention.perToken,
      'kl/retention_per_sequence': kl.retention.perSequence,
    });
  });
});

describe('accuracy', () => {
  it('is the share of greedy answers that are the reference, of every set in its role', async () => {
    const { found, tables: weights } = await measured();
    for (const model of ['base', 'sft', 'student'] as const) {
      const [say, kept] = found[model].sets;
      expect([say.role, kept.role]).toEqual(['target', 'retention']);
      expect(say.items).toHaveLength(6);
      expectGreedy(
        weights[model],
        say,
        examples.map(({ prompt, completion }) => [prompt, completion]),
        5,
      );
      expectGreedy(
        weights[model],
        kept,
        keep.map(({ prompt, answer }) => [prompt, answer]),
        4,
      );
    }
    expect(found.student.sets[0].accuracy).toBeGreaterThan(found.base.sets[0].accuracy);
  });

  it('at temperature 1 is of sampled answers', async () => {
    const { run, trainings } = await measured();
    const { student } = trainings;
    const last = askedAt(run, student.at(-1)?.after).filter(({ params }) => params.temperature === 1);
    const right = last.filter(({ prompt, answer, isFinished }) => {
      const example = examples.find(one => one.prompt === textOf(prompt));
      return isFinished && textOf(answer) === example?.completion;
    });
    expect(last).toHaveLength(6);
    expect((await measured()).found.student.sets[0].sampledAccuracy).toBe(right.length / 6);
  });

  it('of options is of the one with the highest sum of log-probabilities', async () => {
    const { found, tables: weights } = await measured();
    for (const model of ['base', 'sft', 'student'] as const) {
      const { items, accuracy } = found[model].sets[2];
      const chosen = choices.map(({ question, options }) => {
        const sums = options.map(option => logprobOf(weights[model], idsOf(question), idsOf(` ${option}`)));
        return sums.indexOf(Math.max(...sums));
      });
      const byText = new Set(choices.map(({ options }, i) => options[chosen[i] as number]));
      expect(new Set(items.map(({ answer }: { answer: string }) => answer))).toEqual(byText);
      expect(accuracy).toBe(choices.filter(({ right }, i) => chosen[i] === right).length / 2);
    }
  });

  it('asks the same questions with the same seeds at every point, greedy and at temperature 1', async () => {
    const { run, trainings } = await measured();
    const { base, sft, student } = trainings;
    const points = [base, ...[3, 6, 9].flatMap(step => [sft[step - 1]?.after, student[step - 1]?.after])];
    const [first, ...others] = points.map(weights =>
      askedAt(run, weights).map(({ prompt, seed, params }) => ({ prompt, seed, params })),
    );
    for (const other of others) expect(other).toEqual(first);
    expect(first?.map(({ params }) => [params.temperature, params.maxNewTokens])).toEqual([
      ...Array(6).fill([0, 5]),
      ...Array(3).fill([0, 4]),
      ...Array(6).fill([1, 5]),
    ]);
    for (const { params } of first ?? [])
      expect(params).toMatchObject({ topP: 1, topK: 0, stopIds: [endId] });
    const ids = (await measured()).found.base.sets[0].items.map(({ id }: { id: string }) => id);
    const seeds = ids.map(
      (id: string) => philox([fnv('say'), 1000, ...wordsOf(id)], [7, fnv('evaluation answer')])[0],
    );
    expect(first?.slice(9).map(({ seed }) => seed)).toEqual(seeds);
  });
});

type SetFound = {
  items: { id: string; isCorrect: boolean; answer: string }[];
  accuracy: number;
  unfinished: number;
};

/** Items are in the order of the file, so that a walk along the file meets each. */
function expectGreedy(table: Float32Array, set: SetFound, questions: string[][], limit: number): void {
  const answers = questions.map(([prompt = '', reference = '']) => {
    const { text, isFinished } = greedy(table, prompt, limit);
    return { answer: text, isCorrect: isFinished && text === reference, isFinished };
  });
  let place = 0;
  const met = set.items.map(({ answer, isCorrect }) => {
    while (
      place < answers.length &&
      (answers[place]?.answer !== answer || answers[place]?.isCorrect !== isCorrect)
    )
      place++;
    return answers[place++];
  });
  expect(met).not.toContain(undefined);
  expect(set.accuracy).toBe(set.items.filter(({ isCorrect }) => isCorrect).length / set.items.length);
  if (questions.length === set.items.length)
    expect(set.unfinished).toBe(answers.filter(({ isFinished }) => !isFinished).length);
}

describe('own answers and the base asked again', () => {
  it('are measured at each point, the base twice, and stand in the report', async () => {
    const sampled = (more: Settings = {}) =>
      smallRun(folder, {
        ...{ method: 'sft', tms: {}, kl: { size: 2, own_answers: 2 }, controls: { base_again: true } },
        eval: { sets: [saySet(folder)], temperatures: [0, 1] },
        ...more,
      });
    const run = await recordRun(folder, sampled());
    const [base, tuned] = ['base-step-000000', 'sft-step-000009'].map(name =>
      readRecord(run.output, `evaluation/${name}.json`),
    );
    expect(base.own.target).toMatchObject({ perToken: 0, samples: 4 });
    expect(tuned.own.target.perToken).toBeGreaterThan(0.01);
    expect(tuned.kl.target.exactPerToken).toBeGreaterThan(0.01);
    expect(base.again.sets.map(({ name }: { name: string }) => name)).toEqual(['say']);
    expect(base.again.own.target.entropyPerToken).not.toBe(base.own.target.entropyPerToken);
    expect(tuned.again).toBeUndefined();
    const lines = readRows(run.output, 'metrics.jsonl').filter(line => 'own/target_kl_per_token' in line);
    expect(lines.map(({ training, step }) => [training, step])).toEqual([
      ['base', 0],
      ['sft', 9],
    ]);
    expect(lines[0]).toMatchObject({
      'again/say/accuracy': base.again.sets[0].accuracy,
      'again/target_distinct': base.again.own.target.distinct,
    });
    expect(lines[1]?.['own/target_kl_per_token']).toBe(tuned.own.target.perToken);
    const page = reportMarkdown(analyse(await readResults(run.output)));
    const kl = tuned.own.target.perSequence.toFixed(2);
    expect(page.split('\n').find(line => line.includes('SFT, last point'))).toContain(` ${kl} `);
    const once = base.own.target.entropyPerToken.toFixed(3);
    const again = base.again.own.target.entropyPerToken.toFixed(3);
    expect(page).toContain(`entropy (target) ${once} and ${again} (`);

    // The store gives what was asked for, no more, and what it lacks is measured.
    const { home } = run;
    const less = await recordRun(folder, sampled({ controls: {} }), { home });
    expect(readRecord(less.output, 'evaluation/base-step-000000.json').again).toBeUndefined();
    expect(callsOf(less.calls, 'generate')).toHaveLength(0);
    const fresh = await recordRun(folder, sampled({ controls: {} }));
    const filled = await recordRun(folder, sampled(), { home: fresh.home });
    expect(readRecord(filled.output, 'evaluation/base-step-000000.json')).toEqual(base);
  });
});
