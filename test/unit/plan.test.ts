import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { describePlan } from '../../src/plan/describe.ts';
import type { MixturePlan } from '../../src/plan/draws.ts';
import type { DataFacts, MachineFacts, PlannedTraining } from '../../src/plan/plan.ts';
import type { SamplingPlan } from '../../src/plan/sampling-plan.ts';
import { plannedTrainings } from '../../src/run/records.ts';
import { makePlan } from '../../src/runner/make-plan.ts';

const data: DataFacts = {
  trainExamples: 600,
  testExamples: 300,
  trainTokens: 12_000,
  trainPromptTokens: 6000,
  longestPrompt: { tokens: 24, place: 'line 8 of d.jsonl' },
  completionLengths: Array.from({ length: 600 }, (_, i) => (i < 30 ? 41 : 9)),
};
const unknown: MachineFacts = { disk: null, throughput: null };
const promptIdOf = (example: number) => [0, example] as const;

function planOf(sets: string[], machine = unknown, facts = data) {
  const required = 'model_name_or_path: m\ndataset_name: d.jsonl\noutput_dir: o\n';
  const lab = [
    'per_device_train_batch_size=32',
    'num_train_epochs=24',
    'warmup_steps=10',
    'learning_rate=1e-4',
  ];
  const config = parseConfig(required, 'run.yaml', [...lab, 'max_length=64', ...sets]);
  const plan = makePlan(config, facts, { promptIdOf }, machine);
  const { sft, student } = plan.trainings as Record<string, PlannedTraining>;
  const { rounds: [first] = [], sampling } = (plan.methods.tms ?? {}) as unknown as Partial<Tms>;
  const { checkpointSteps, mixture } = first ?? ({} as Tms['rounds'][0]);
  return { plan, sft, student, checkpointSteps, mixture, sampling };
}

/** What TMS decides of its own. */
type Tms = {
  readonly rounds: readonly {
    readonly checkpointSteps: readonly number[];
    readonly mixture: MixturePlan;
  }[];
  readonly sampling: SamplingPlan;
};

describe('makePlan', () => {
  it('plans the lab: 24 epochs of 19 steps, checkpoints, points, answers', () => {
    const { plan, sft, student, checkpointSteps, mixture } = planOf([]);
    const length = {
      steps: 456,
      stepsPerEpoch: 19,
      visits: 14_400,
      schedule: { type: 'linear', peak: 1e-4, warmupSteps: 10, steps: 456 },
      evaluationSteps: [0, 152, 304, 456],
    };
    expect(sft).toMatchObject({ ...length, checkpoints: checkpointSteps });
    expect(student).toMatchObject({ ...length, checkpoints: [] });
    expect(checkpointSteps).toEqual([46, 91, 137, 182, 228, 274, 319, 365, 410, 456]);
    expect(mixture).toMatchObject({ lazy: true, fullCount: 6000 });
    expect(plan.tokens).toEqual({
      trained: { sft: 14_400 * 20, student: 14_400 * 20 },
      generatedAtMost: mixture.count * 40,
      generatedExpected: mixture.count * 10,
    });
    expect([plan.disk, plan.seconds, Object.keys(plan.methods)]).toEqual([null, null, ['tms']]);
  });

  it('is the same again, and survives JSON', () => {
    const { plan } = planOf([]);
    expect(planOf([]).plan).toEqual(plan);
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it('names its trainings in the order in which they run, as the report reads them', () => {
    const named = (...sets: string[]) =>
      Object.entries(plannedTrainings.parse(JSON.parse(JSON.stringify(planOf(sets).plan.trainings))));
    const plain = { needs: [], startsFrom: 'base', goldShare: null };
    const sft = { label: 'SFT', role: 'baseline', ...plain, trainsOn: 'gold' };
    const trainsOn = 'a mixture of gold and the answers of SFT’s checkpoints';
    const student = { label: 'TMS', role: 'method', ...plain, needs: ['sft'], trainsOn };
    const control = { label: 'base answers', role: 'control', ...plain, trainsOn: 'the base’s own answers' };
    expect(named('tms.alpha=0.5', 'tms.student_init=sft', 'controls.base_samples=true')).toEqual([
      ['sft', sft],
      ['student', { ...student, startsFrom: 'sft', goldShare: 0.5 }],
      ['base-answers', control],
    ]);
    expect(named('method=sft')).toEqual([['sft', sft]]);
  });

  it('sft has one checkpoint, the last, and no student', () => {
    const { plan, sft } = planOf(['method=sft']);
    expect(Object.keys(plan.trainings)).toEqual(['sft']);
    expect(sft?.checkpoints).toEqual([456]);
    expect(plan.tokens).toEqual({ trained: { sft: 288_000 }, generatedAtMost: 0, generatedExpected: 0 });
  });

  it('the student may have its own learning rate and epochs, also beside max_steps', () => {
    const { sft, student } = planOf([
      'max_steps=50',
      'num_train_epochs=',
      'tms.student.learning_rate=3e-4',
      'tms.student.num_train_epochs=2',
    ]);
    expect([sft?.steps, student?.steps, student?.schedule.peak]).toEqual([50, 38, 3e-4]);
    expect(planOf(['max_steps=50', 'num_train_epochs=']).student?.steps).toBe(50);
  });

  it('the base is one more policy, and a full harvest has all answers', () => {
    const whole = planOf(['tms.include_base=true', 'tms.lazy_harvest=false', 'tms.samples_per_prompt=2']);
    const { checkpointSteps, mixture } = whole;
    expect([checkpointSteps.length, mixture.count, mixture.draws.checkpoints]).toEqual([11, 13_200, 11]);
    const drawn = planOf(['tms.include_base=true', 'tms.samples_per_prompt=2']).mixture;
    expect(mixture.goldVisits).toBe(drawn.goldVisits);
  });

  it('a control trains and generates as well', () => {
    const { plan } = planOf(['method=sft', 'controls.base_samples=true']);
    expect(plan.tokens).toEqual({
      trained: { sft: 288_000, 'base-answers': 288_000 },
      generatedAtMost: 600 * 40,
      generatedExpected: 6000,
    });
  });

  it('counts disk: 10 checkpoints, 2 final models of 40 + 5 bytes, 2 states of 45 + 80; none where no state is saved', () => {
    const model = { trainableParameters: 10, bytesPerWeight: 4, fileBytes: 5, vocabSize: 101 };
    const machine = { disk: { model, evaluationBytes: 7 }, throughput: null };
    const { plan } = planOf(['save_steps=100'], machine);
    expect(plan.disk).toMatchObject({ weightBytes: 12 * 45, checkpointBytes: 10 * 45, stateBytes: 2 * 125 });
    const lean = planOf(['save_steps=100', 'tms.keep_checkpoints=false', 'save_total_limit=null'], machine);
    expect(lean.plan.disk).toMatchObject({ weightBytes: 2 * 45, stateBytes: 8 * 125 }); // at steps 100, 200, 300, 400 of each
    expect(planOf(['save_steps=0'], machine).plan.disk?.stateBytes).toBe(0);
    const { inRunAtMost = 0, inStoreAtMost = 0, bytesAtMost } = plan.disk ?? {};
    expect(inRunAtMost + inStoreAtMost).toBe(bytesAtMost);
  });

  it('counts what is kept beside a training: in each state, and in memory', () => {
    const model = { trainableParameters: 10, bytesPerWeight: 2, fileBytes: 5, vocabSize: 101 };
    const asked: unknown[] = [];
    const memory = (decided: unknown) => {
      asked.push(decided);
      throw new Error('asked');
    };
    const machine = { disk: { model, evaluationBytes: 7 }, throughput: null };
    const statesOf = (method: string) => planOf(['save_steps=100', method], machine).plan.disk?.stateBytes;
    // 2 states of 20 + 5 + 80 bytes, and 10 weights more: as they are, or an average in float32.
    expect(statesOf('method=sft')).toBe(2 * 105);
    expect(statesOf('method=kl-sft')).toBe(2 * 125);
    expect(statesOf('method=sdft')).toBe(2 * 145);
    for (const method of ['sft', 'kl-sft', 'sdft'])
      expect(() => planOf([`method=${method}`], { ...machine, memory })).toThrow('asked');
    expect(asked).toEqual([
      { slots: 0, reference: 'nothing' },
      { slots: 0, reference: 'copy' },
      { slots: 64, reference: 'average' },
    ]);
  });

  it('tells time from measured throughput: 2 · 288,000 tokens at 1,000/s and the answers at 100/s', () => {
    const { plan, mixture } = planOf([], { disk: null, throughput: { train: 1000, generate: 100 } });
    expect(plan.seconds).toBeCloseTo(576 + (mixture.count * 10) / 100, 6);
  });

  it('works with one example and nothing held out', () => {
    const one = { ...data, trainExamples: 1, testExamples: 0, trainTokens: 20, trainPromptTokens: 10 };
    const { sft, checkpointSteps } = planOf(['tms.num_checkpoints=3'], unknown, one);
    expect([sft?.steps, checkpointSteps]).toEqual([24, [8, 16, 24]]);
  });

  it('an answer may be as long as fits behind the longest prompt, with an end of its own behind a stop text', () => {
    const sampling = (...sets: string[]) => planOf(sets).sampling;
    expect(sampling()).toEqual({
      maxNewTokens: 40, // max_length 64 − 24
      longerGold: 30,
      temperature: 1,
      topP: 1,
      stop: [],
      redraws: 0,
    });
    expect(
      sampling('tms.stop=["\\n"]', 'tms.temperature=0.5', 'tms.top_p=0.9', 'tms.unfinished=redraw'),
    ).toEqual({
      maxNewTokens: 39,
      longerGold: 30,
      temperature: 0.5,
      topP: 0.9,
      stop: ['\n'],
      redraws: 4,
    });
    expect(sampling('tms.max_new_tokens=8')).toMatchObject({ maxNewTokens: 8, longerGold: 600 });
    const control = planOf(['method=sft', 'controls.base_samples=true']).plan.methods['base-answers'];
    expect(control?.sampling?.maxNewTokens).toBe(40);
  });

  it('redraws count among the tokens that may be generated', () => {
    const { plan, mixture } = planOf(['tms.unfinished=redraw', 'tms.max_redraws=2']);
    expect(plan.tokens.generatedAtMost).toBe(mixture.count * 40 * 3);
  });

  it('refuses answers that cannot fit, naming the prompt, for the control too', () => {
    const found =
      'max_new_tokens: 41 does not fit: line 8 of d.jsonl has a prompt of 24 tokens, and max_length is 64';
    expect(() => planOf(['tms.max_new_tokens=41'])).toThrow(`tms.${found}`);
    expect(() =>
      planOf(['method=sft', 'controls.base_samples=true', 'base_answers.max_new_tokens=41']),
    ).toThrow(`base_answers.${found}`);
    const full = { ...data, longestPrompt: { tokens: 63, place: 'line 8 of d.jsonl' } };
    expect(() => planOf(['tms.stop=["."]'], unknown, full)).toThrow('an answer does not fit: line 8');
  });

  it('refuses more checkpoints than steps, and no examples', () => {
    expect(() => planOf(['num_train_epochs=0.1'])).toThrow(
      'tms.num_checkpoints is 10, but the SFT run has only 2 steps',
    );
    expect(() => planOf([], unknown, { ...data, trainExamples: 0 })).toThrow('no training examples are left');
  });
});

describe('describePlan', () => {
  it('says what happens and what it takes', () => {
    const machine = {
      disk: {
        model: { trainableParameters: 1e9, bytesPerWeight: 4, fileBytes: 2e6, vocabSize: 50_000 },
        evaluationBytes: 1e6,
      },
      throughput: { train: 1000, generate: 100 },
    };
    expect(describePlan(planOf([], machine).plan)).toMatchInlineSnapshot(`
      [
        "data      600 training examples (12,000 tokens), 300 held out",
        "sft       456 steps of 32 (24 epochs), learning rate 0.0001 linear after 10 warm-up steps (reaches 0.0001, above 0 at 455 of 456 steps)",
        "student   456 steps of 32 (24 epochs), learning rate 0.0001 linear after 10 warm-up steps (reaches 0.0001, above 0 at 455 of 456 steps)",
        "harvest   checkpoints at steps 46, 91, 137, 182, 228, 274, 319, 365, 410, 456",
        "          generate the 5,079 answers that are read, of 6,000; per checkpoint 512, 498, 516, 508, 520, 511, 510, 514, 500, 490",
        "mixture   α = 0.25: 3,617 of 14,400 visits (25.1 %) train on the gold answer",
        "answers   at most 40 tokens (the longest prompt has 24), temperature 1",
        "          30 of 600 gold answers are longer: an answer like them has no end, and gold takes its place",
        "evaluate  at steps 0, 152, 304, 456 of each training",
        "tokens    576,000 trained, 50,790 generated if answers are as long as gold answers (at most 203,160)",
        "disk      at most 48.1 GB: weights 48 GB, training states 0 B, answers 10.9 MB, records 34.2 MB; 40 GB of it in the store",
        "time      about 18 min without evaluation",
      ]
    `);
  });
});

describe('a schedule', () => {
  const tiny = { ...data, trainExamples: 8 };

  it('whose rate is 0 at every step is refused, of the student too', () => {
    const once = ['num_train_epochs=1', 'tms.num_checkpoints=1', 'warmup_steps=0.03'];
    expect(() => planOf(once, unknown, tiny)).toThrow(
      'the learning rate is 0 at every step of sft: 1 step in all, and a warm-up of 1, whose first step has rate 0',
    );
    const student = ['tms.num_checkpoints=1', 'warmup_steps=1', 'tms.student.num_train_epochs=1'];
    expect(() => planOf(student, unknown, tiny)).toThrow(/at every step of student: 1 step in all/);
    expect(planOf([...once.slice(0, 2), 'warmup_steps=0'], unknown, tiny).plan.cautions).toEqual([
      expect.stringContaining('a step takes up to 32 examples'),
    ]);
  });

  it('that never reaches its peak is planned with a caution; the plan names the highest rate', () => {
    const { plan } = planOf(['warmup_steps=500', 'tms.student.num_train_epochs=48']);
    // Step 456, the last, has (456 − 1)/500 of 1e-4; the student has 912 steps and gets there.
    expect(plan.cautions).toEqual([
      'sft ends in its warm-up (456 of 500 steps): the learning rate reaches 0.000091, never 0.0001, and is above 0 at 455 of 456 steps',
    ]);
    const lines = describePlan(plan);
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^sft .*after 500 warm-up steps \(reaches 0\.000091, above 0 at 455 of 456 steps\)$/,
      ),
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^student .*\(reaches 0\.0001, above 0 at 911 of 912 steps\)$/),
    );
    expect(lines.at(-1)).toBe(`caution   ${plan.cautions[0]}`);
  });

  it('without faults has no caution', () => {
    expect(planOf([]).plan.cautions).toEqual([]);
  });
});

it('weights held in bfloat16 and rounded to the nearest are a caution that says which cannot move, but not under an adapter', () => {
  // 512 × 1e-4 = 0.0512.
  expect(planOf(['dtype=bfloat16']).plan.cautions).toEqual([]);
  const nearest = ['dtype=bfloat16', 'weight_rounding=nearest'];
  expect(planOf(nearest).plan.cautions).toEqual([
    expect.stringMatching(
      /at 0\.0001: every weight above 0\.0512\)\. What is most likely wanted is bf16: true/,
    ),
  ]);
  expect(planOf([...nearest, 'use_peft=true']).plan.cautions).toEqual([]);
});

describe('a plan is made or refused at once, whatever the schema lets through', () => {
  const short = ['num_train_epochs=', 'warmup_steps='];

  it.each([
    [
      ['num_train_epochs=1e6'],
      /^a training would visit 600,000,000 examples; at most 30,000,000 can be drawn$/,
    ],
    [[...short, 'max_steps=1e9'], /^a training would visit [\d,]+ examples/],
    [['tms.student.num_train_epochs=1e6'], /^a training would visit/],
    [
      ['tms.lazy_harvest=false', 'tms.samples_per_prompt=10000'],
      /^600 examples × 10 checkpoints × 10,000 samples are 60,000,000 answers; at most 30,000,000/,
    ],
    [
      ['tms.samples_per_prompt=10000', 'num_train_epochs=900', 'tms.num_checkpoints=10000'],
      /60,000,000,000 answers/,
    ],
  ])('%j', (sets, message) => {
    expect(() => planOf(sets)).toThrow(message);
  });

  it.each([
    [['method=sft', 'num_train_epochs=1e6', 'eval_points=10000']],
    [['method=sft', ...short, 'max_steps=1e9', 'save_steps=1']],
    [['per_device_train_batch_size=1e9', 'gradient_accumulation_steps=1e9', 'tms.num_checkpoints=1']],
    [['tms.samples_per_prompt=10000', 'tms.max_redraws=10000', 'tms.unfinished=redraw']],
  ])('%j is planned', sets => {
    expect(planOf(sets).sft?.steps).toBeGreaterThan(0);
  });
});
