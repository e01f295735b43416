/** What takes the place of an answer, or ends it: counted, said, shown in the table, refused past a bound. Values by hand or by the reference. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readResults } from '../../src/report/results.ts';
import { finalTable } from '../../src/report/table.ts';
import type { Channel } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import { packRows } from '../../src/worker/tensors.ts';
import {
  askedIn,
  callsOf,
  isThere,
  type RecordedRun,
  readRecord,
  readRows,
  recordRun,
  rowsOf,
  type Settings,
  stepsOf,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { endId, idsOf, textOf } from '../support/reference.ts';
import {
  examples,
  expectGradients,
  expectTms,
  goldBatches,
  smallFacts,
  smallRun,
  sourcesOf,
  trainingsOf,
} from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
const tms = (keys: Settings, more: Settings = {}, surroundings = {}) =>
  recordRun(folder, smallRun(folder, { tms: keys, ...more }), surroundings);
const tableOf = async ({ output }: Pick<RecordedRun, 'output'>) =>
  finalTable(await readResults(output))
    .join(' ')
    .replace(/ +/g, ' ');

describe('a stop text of the answers', () => {
  it('ends them: each is learned up to it, with the end that gold has', async () => {
    const facts = { ...smallFacts, stop: 'b' };
    const run = await tms({ stop: ['b'] });
    const { targets, harvest } = expectTms(run, facts);
    for (const { params } of harvest.asked) expect(params.stopTexts).toEqual(['b']);
    expect(harvest.asked.filter(asked => asked.isStopped).length).toBeGreaterThan(3);
    const learned = targets.filter(({ record }) => record.source === 'answer');
    expect(learned.length).toBeGreaterThan(3);
    for (const {
      learned: { ids },
    } of learned)
      expect(ids.at(-1)).toBe(endId);
    const lines = [3, 6, 9].flatMap(step =>
      readRows(run.output, `answers/student/sft-step-00000${step}.jsonl`),
    );
    for (const line of lines.filter(({ finishReason }) => finishReason === 'stop_text')) {
      expect(line.ids.at(-1)).toBe(endId);
      expect(line.text).toBe(textOf(line.ids));
      expect(line.text).not.toContain('b');
    }
  });

  it('makes answers of its own: those of another stop text do not come from the store', async () => {
    const home = `${folder}/stops`;
    const counts = [];
    for (const keys of [{}, { stop: ['b'] }, { stop: ['a'] }, { stop: ['b'] }])
      counts.push(askedIn((await tms(keys, {}, { home })).calls).length);
    expect(counts.map(count => count > 0)).toEqual([true, true, true, false]);
  });

  it('ends those of the control too', async () => {
    const run = await tms(
      {},
      {
        method: 'sft',
        tms: {},
        controls: { base_samples: true },
        base_answers: { stop: ['b'], max_new_tokens: 9 },
      },
    );
    const control = stepsOf(run.calls).slice(9);
    const answers = new Map(
      askedIn(run.calls).map(asked => [
        textOf(asked.prompt),
        asked.isStopped
          ? [...asked.answer.slice(0, asked.answer.indexOf(idsOf('b')[0] ?? -1)), endId]
          : asked.answer,
      ]),
    );
    const learned = control.flatMap(({ sequences }) => sequences.map(({ ids }) => ids));
    for (const ids of learned) {
      const { prompt } = examples.find(example => textOf(ids).startsWith(example.prompt)) ?? { prompt: '' };
      expect(ids).toEqual([...idsOf(prompt), ...(answers.get(prompt) ?? [])]);
    }
    const cut = askedIn(run.calls).filter(asked => !asked.isFinished).length;
    expect(cut).toBeGreaterThan(0);
    // Each of the ten is visited three times.
    expect(run.said).toContainEqual(
      expect.stringMatching(
        `^note: base-answers learns unusable answers as they are: ${3 * cut} unfinished.* of 30 visits$`,
      ),
    );
    expect(await tableOf(run)).toContain(
      `base answers: learned as they are: ${3 * cut} unfinished of 30 drawn answers.`,
    );
  });
});

describe('gold in place of answers', () => {
  it('is counted, said while training, and shown with the α in effect beside the row of the student', async () => {
    const run = await tms({ max_fallback_fraction: 0.6 }, { eval_points: 2, pld: { size: 2 } });
    const { targets } = expectTms(run, smallFacts);
    expect(sourcesOf(targets)).toMatchObject({ gold: 9, answer: 9 });
    const found =
      '12 of the 21 visits of student that drew an answer (57.1 %) train on the gold answer in its place (7 unfinished, 5 empty): ' +
      'α is 0.25 as asked and 0.700 in effect';
    expect(run.said).toContain(`note: ${found}`);
    const table = await tableOf(run);
    expect(table).toContain(
      'gold took the place of 12 of 21 drawn answers (7 unfinished, 5 empty): α 0.700 in effect.',
    );
    expect(table).toMatch(/TMS @9 \.70 /);
  });

  it('is refused past max_fallback_fraction before the student trains; a resume goes on once it is allowed', async () => {
    const output = join(folder, 'refused', 'run');
    const home = join(folder, 'refused', 'home');
    const settings = (keys: Settings) => smallRun(folder, { output_dir: output, tms: keys });
    const calls: VerbName[] = [];
    const refused = recordRun(folder, settings({ max_fallback_fraction: 0.5 }), {
      home,
      onCall: verb => void calls.push(verb),
    });
    await expect(refused).rejects.toMatchObject({
      exitCode: 3,
      message: /^12 of the 21 visits .* more than tms.max_fallback_fraction: 0.5/,
      fix: /--resume --set tms.max_fallback_fraction=0.572$/,
    });
    expect(calls.filter(verb => verb === 'optimStep')).toHaveLength(9); // SFT alone
    expect(readRecord(output, 'run.json')).toMatchObject({ status: 'failed', error: /^12 of the 21 visits/ });
    expect(isThere(output, 'models', 'student')).toBe(false);
    expect(await tableOf({ output })).not.toMatch(/TMS @/);
    const run = await recordRun(folder, settings({ max_fallback_fraction: 0.572 }), { home, resume: true });
    expect(stepsOf(run.calls)).toHaveLength(9); // the student alone
    expectGradients(
      stepsOf(run.calls),
      expectTms(await tms({}), smallFacts).trainings.student.map(({ sequences }) => [...sequences]),
    );
  });

  it('takes over all of the method where no answer ends, and that is refused by default', async () => {
    const keys = { max_new_tokens: 1, max_fallback_fraction: undefined };
    await expect(tms(keys)).rejects.toThrow(/^21 of the 21 visits .*\(100.0 %\).*and 1.000 in effect/);
    const run = await tms({ max_new_tokens: 1 });
    expectGradients(trainingsOf(run, smallFacts).student, goldBatches(smallFacts, 9));
    expect(await tableOf(run)).toContain('gold took the place of 21 of 21 drawn answers');
  });

  it('takes the place of an answer that is longer than max_length, never half of it', async () => {
    const run = await tms({ stop: ['b'], filters: 'none' }, {}, { channel: new WordyChannel() });
    const visits = readRows(run.output, 'curriculum.jsonl');
    const long = visits.filter(({ source }) => source === 'gold-for-too-long').length;
    expect(long).toBeGreaterThan(0);
    for (const { sequences } of trainingsOf(run, smallFacts).student)
      for (const { ids } of sequences) expect(ids.length).toBeLessThanOrEqual(40);
    expect(await tableOf(run)).toContain(`(${long} longer than max_length)`);
  });
});

describe('room for answers', () => {
  it('is what fits behind the longest prompt, in the plan and in what is asked', async () => {
    const run = await tms({ max_new_tokens: null }, { max_length: 30 });
    const plan = readRecord(run.output, 'plan.json');
    expect(plan.data.longestPrompt).toEqual({ tokens: 6, place: 'line 1 of train.jsonl' });
    expect(plan.methods.tms.sampling).toEqual({
      maxNewTokens: 24,
      longerGold: 0,
      temperature: 1,
      topP: 1,
      stop: [],
      redraws: 0,
    });
    expect(new Set(askedIn(run.calls).map(({ params }) => params.maxNewTokens))).toEqual(new Set([24]));
  });

  it('is the positions of the model at most: the default trains to its end', async () => {
    const run = await tms({ max_new_tokens: null }, { max_length: 512 });
    expect(new Set(askedIn(run.calls).map(({ params }) => params.maxNewTokens))).toEqual(new Set([506]));
  });

  it('is checked before anything is trained, and nothing is left behind', async () => {
    const calls: VerbName[] = [];
    const output = join(folder, 'no-room');
    const asked = tms(
      { max_new_tokens: 25 },
      { max_length: 30, output_dir: output },
      { onCall: (verb: VerbName) => void calls.push(verb) },
    );
    await expect(asked).rejects.toMatchObject({
      exitCode: 3,
      message:
        'tms.max_new_tokens: 25 does not fit: line 1 of train.jsonl has a prompt of 6 tokens, and max_length is 30',
      fix: 'set tms.max_new_tokens to 24 or less (null: 24), or max_length to 31 or more',
    });
    expect(calls).not.toContain('optimStep');
    expect(isThere(output)).toBe(false);
  });
});

describe('a training of the store', () => {
  it('that lacks a checkpoint of this plan is trained again to there, and that is said', async () => {
    const home = join(folder, 'sft-first');
    await tms({}, { method: 'sft' }, { home });
    const run = await tms({}, {}, { home });
    for (const step of [3, 6])
      expect(run.said).toContain(
        `note: sft is in the store without its weights at step ${step}: it is trained to there again`,
      );
    expect(stepsOf(run.calls)).toHaveLength(6 + 9);
    const again = await tms({ alpha: 0.5 }, {}, { home });
    expect(again.said.join()).not.toContain('without its weights');
    expect(stepsOf(again.calls)).toHaveLength(9);
  });
});

describe('what is measured in part', () => {
  it('is said: test examples that do not fit, and answers of the base that have less room than others', async () => {
    const rows = [
      { prompt: 'x'.repeat(30), completion: 'ab' },
      { prompt: 'say', completion: 'a'.repeat(60) },
      { prompt: 'say', completion: 'ab' },
    ];
    const held = { dataset_test_name: writeRows(folder, 'long.jsonl', rows), max_length: 40 };
    const run = await tms({}, { method: 'sft', tms: {}, ...held, pld: { size: 3 }, kl: { size: 3 } });
    expect(run.said).toContain(
      'note: PLD and KL leave out 1 of 3 test examples, which do not fit max_length 40 whole',
    );
    expect(run.said.join()).not.toContain('KL on');
    const wide = writeRows(folder, 'wide.jsonl', [{ prompt: 'x'.repeat(500), completion: 'ab' }]);
    const other = await tms({}, { method: 'sft', dataset_test_name: wide, max_length: 512, kl: { size: 1 } });
    expect(other.said).toContain(
      'note: KL on test: the base’s answers are compared up to 12 tokens, not 128, because a prompt has 500 of the 512 positions of the model'.replace(
        '’',
        "'",
      ),
    );
  });
});

describe('stop texts of an evaluation set', () => {
  const questions = [
    { prompt: 'keep x', answer: 'ab' },
    { prompt: 'keep y', answer: 'ba' },
  ];
  /** The base of the toy never ends an answer of four letters to these; what it says is in the record without stop texts. */
  const measured = (set: Settings, more: Settings = {}, surroundings = {}) =>
    recordRun(
      folder,
      smallRun(folder, {
        method: 'sft',
        max_steps: 1,
        learning_rate: 1e-9, // nothing is forgotten
        retention: {
          sets: [
            { name: 'keep', path: writeRows(folder, 'keep.jsonl', questions), max_new_tokens: 4, ...set },
          ],
          ...more,
        },
      }),
      surroundings,
    );
  const setOf = ({ output }: RecordedRun, model: string) =>
    readRecord(output, 'evaluation', `${model}.json`).sets[0];

  it('end its answers before the first of them, which then count as finished', async () => {
    const whole = setOf(await measured({}), 'base-step-000000');
    expect(whole.unfinished).toBe(2);
    const [first, second] = whole.items.map(({ answer }: { answer: string }) => answer);
    const stop = [first.slice(2, 4), second.slice(3)];
    const run = await measured({ stop });
    const { items, unfinished } = setOf(run, 'base-step-000000');
    const cut = (text: string) =>
      text.slice(0, Math.min(...stop.map(one => (text.includes(one) ? text.indexOf(one) : text.length))));
    expect(items.map(({ answer }: { answer: string }) => answer)).toEqual([cut(first), cut(second)]);
    expect(unfinished).toBe(0);
    expect(
      callsOf(run.calls, 'generate').every(({ params }) => String(params.stopTexts) === String(stop)),
    ).toBe(true);
  });

  it('without them unfinished answers to the target are named too', async () => {
    const say = writeRows(folder, 'say-target.jsonl', questions);
    const run = await tms(
      {},
      { method: 'sft', eval: { sets: [{ name: 'say', path: say, max_new_tokens: 1 }] } },
    );
    expect(await tableOf(run)).toMatch(
      /No end: 2 of 2 answers of base, \d of 2 answers of SFT @9 to the target sets never ended and were cut/,
    );
  });

  it('are part of what is measured: another one is measured again', async () => {
    const home = `${folder}/kept`;
    const asked = async (set: Settings) => askedIn((await measured(set, {}, { home })).calls).length;
    expect(await asked({ stop: ['q'] })).toBeGreaterThan(2);
    expect(await asked({ stop: ['z'] })).toBeGreaterThan(2);
  });

  it('end what the base says for KL too, where the set has them', async () => {
    const [said] = setOf(await measured({}), 'base-step-000000').items;
    const stop = [said.answer.slice(1, 2)];
    const run = await recordRun(
      folder,
      smallRun(folder, {
        method: 'sft',
        kl: { size: 2 },
        retention: {
          sets: [{ name: 'keep', path: writeRows(folder, 'keep.jsonl', questions), max_new_tokens: 9, stop }],
        },
      }),
    );
    const samples = askedIn(run.calls).filter(({ params }) => params.temperature === 1);
    const kept = samples.filter(({ prompt }) => textOf(prompt).startsWith('keep'));
    expect(kept.map(({ params }) => params.stopTexts)).toEqual([stop, stop]);
    const others = samples.filter(({ prompt }) => !textOf(prompt).startsWith('keep'));
    expect(others.map(({ params }) => params.stopTexts)).toEqual([[], []]);
  });

  it('without them a base that runs on is shown beside Δ, and Δ is not called a measurement', async () => {
    const run = await measured({});
    const table = await tableOf(run);
    expect(table).toContain(
      'No end: 2 of 2 answers of base, 2 of 2 answers of SFT @1 to the retention sets never ended and were cut at max_new_tokens',
    );
    expect(table).toMatch(/base – 100% /);
    expect(table).toMatch(/SFT @1 \.000 \[[^\]]*\] \? 100% /);
    expect(table).toContain('Retention of SFT @1: not measured, because too many answers have no end. ');
    expect(await tableOf(await measured({}, { max_unfinished_fraction: 1 }))).not.toContain('not measured');
  });
});

describe('disk', () => {
  const sizeOf = (...path: string[]): number => {
    const file = join(...path);
    const found = statSync(file, { throwIfNoEntry: false });
    if (found === undefined) return 0;
    return found.isDirectory()
      ? readdirSync(file).reduce((sum, name) => sum + sizeOf(file, name), 0)
      : found.size;
  };

  it('is bounded by the plan: answers twice as JSON and once in binary, every model, records', async () => {
    const keep = writeRows(
      folder,
      'keep-disk.jsonl',
      examples.map(({ prompt, completion: answer }) => ({ prompt, answer })),
    );
    const more = {
      controls: { base_samples: true },
      eval_points: 4,
      save_steps: 2,
      save_total_limit: null,
      kl: { size: 3 },
      retention: { sets: [{ name: 'keep', path: keep, max_new_tokens: 30 }] },
    };
    const keys = {
      max_new_tokens: 30,
      unfinished: 'redraw',
      max_redraws: 3,
      samples_per_prompt: 2,
      lazy_harvest: false,
    };
    const { output, home } = await tms(keys, more);
    const { disk, methods } = readRecord(output, 'plan.json');
    expect(methods.tms.answers).toBe(60);
    const store = join(home, 'store');
    const found = sizeOf(output, 'answers') + sizeOf(output, 'targets') + sizeOf(store, 'answers');
    expect(found).toBeLessThanOrEqual(disk.answerBytesAtMost);
    expect(disk.answerBytesAtMost).toBeLessThan(8 * found);
    const models = readdirSync(join(output, 'models')).length + 3; // those of the run, and three checkpoints
    const each = sizeOf(output, 'models', 'sft');
    expect(disk.weightBytes).toBeGreaterThanOrEqual(models * each);
    expect(disk.checkpointBytes).toBe((disk.weightBytes * 3) / models);
    const states = readdirSync(join(output, 'states')).length;
    expect(states).toBe(12); // after steps 2, 4, 6 and 8 of each training: null keeps all
    expect(disk.stateBytes).toBeGreaterThanOrEqual(sizeOf(output, 'states'));
    const rest =
      sizeOf(output) -
      ['answers', 'targets', 'models', 'states'].reduce((sum, name) => sum + sizeOf(output, name), 0);
    expect(rest + sizeOf(store, 'evaluations')).toBeLessThanOrEqual(disk.recordBytesAtMost);
    expect(sizeOf(output)).toBeLessThanOrEqual(disk.inRunAtMost);
    expect(sizeOf(store)).toBeLessThanOrEqual(disk.inStoreAtMost);
  });

  it('holds no evaluation of a student or a control in the store: nobody could ask for it', async () => {
    const { home } = await tms({}, { controls: { base_samples: true }, eval_points: 3, pld: { size: 2 } });
    const kept = readdirSync(join(home, 'store', 'evaluations')).map(name =>
      readRecord(home, 'store', 'evaluations', name),
    );
    expect(kept.map(({ record }) => `${record.training} ${record.step}`).toSorted()).toEqual([
      'base 0',
      'sft 5',
      'sft 9',
    ]);
  });
});

/** Says more before a stop text than was sampled, as a tokenizer may that writes half a token in several. */
class WordyChannel implements Channel {
  readonly #toy = new ToyChannel();

  call: Channel['call'] = (verb, params, tensors, options) => {
    const call = this.#toy.call(verb, params, tensors, options);
    call.then(
      ({ tensors: reply }) => {
        if (verb !== 'generate' || (params as Params<'generate'>).stopTexts.length === 0) return;
        const rows = rowsOf({ textIds: reply.textIds, offsets: reply.textOffsets } as never, 'textIds');
        const { values, offsets } = packRows(
          'i32',
          rows.map(row => [...row, ...idsOf('a'.repeat(40))]),
        );
        Object.assign(reply, { textIds: values, textOffsets: offsets });
      },
      () => {},
    );
    return call;
  };

  close(): Promise<void> {
    return this.#toy.close();
  }
}
