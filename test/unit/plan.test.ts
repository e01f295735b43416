import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { describePlan } from '../../src/plan/describe.ts';
import { type DataFacts, type MachineFacts, makePlan } from '../../src/plan/plan.ts';

const data: DataFacts = {
  trainExamples: 600,
  testExamples: 300,
  trainTokens: 12_000,
  trainPromptTokens: 6000,
};
const unknown: MachineFacts = { model: null, throughput: null };
const promptIdOf = (example: number) => [0, example] as const;

function planOf(sets: string[], machine = unknown, facts = data) {
  const required = 'model_name_or_path: m\ndataset_name: d.jsonl\noutput_dir: o\n';
  const lab = [
    'per_device_train_batch_size=32',
    'num_train_epochs=24',
    'warmup_steps=10',
    'learning_rate=1e-4',
  ];
  return makePlan(
    parseConfig(required, 'run.yaml', [...lab, 'max_length=64', ...sets]),
    facts,
    promptIdOf,
    machine,
  );
}

describe('makePlan', () => {
  it('plans the lab: 24 epochs of 19 steps, checkpoints, points, answers', () => {
    const { plan, answers } = planOf([]);
    expect(plan.sft).toMatchObject({
      steps: 456,
      stepsPerEpoch: 19,
      visits: 14_400,
      schedule: { type: 'linear', peak: 1e-4, warmupSteps: 10, steps: 456 },
      evaluationSteps: [0, 152, 304, 456],
    });
    expect(plan.student).toEqual(plan.sft);
    expect(plan.checkpointSteps).toEqual([46, 91, 137, 182, 228, 274, 319, 365, 410, 456]);
    expect(plan.answers).toMatchObject({ lazy: true, fullCount: 6000, maxNewTokens: 64 });
    expect(plan.answers?.count).toBe(answers?.count);
    expect(plan.tokens.sftTokens).toBe(14_400 * 20);
    expect(plan.tokens.generatedTokensAtMost).toBe((answers?.count ?? 0) * 64);
    expect(plan.tokens.generatedTokensExpected).toBe((answers?.count ?? 0) * 10);
    expect([plan.disk, plan.seconds, plan.control]).toEqual([null, null, null]);
  });

  it('is the same again, and survives JSON', () => {
    const { plan } = planOf([]);
    expect(planOf([]).plan).toEqual(plan);
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it('sft has one checkpoint, the last, and no student', () => {
    const { plan, answers } = planOf(['method=sft']);
    expect(plan).toMatchObject({ checkpointSteps: [456], student: null, answers: null });
    expect(answers).toBeNull();
  });

  it('the student may have its own learning rate and epochs, also beside max_steps', () => {
    const { plan } = planOf([
      'max_steps=50',
      'num_train_epochs=',
      'tms.student.learning_rate=3e-4',
      'tms.student.num_train_epochs=2',
    ]);
    expect([plan.sft.steps, plan.student?.steps, plan.student?.schedule.peak]).toEqual([50, 38, 3e-4]);
    expect(planOf(['max_steps=50', 'num_train_epochs=']).plan.student?.steps).toBe(50);
  });

  it('the base is one more policy, and a full harvest has all answers', () => {
    const { plan } = planOf(['tms.include_base=true', 'tms.lazy_harvest=false', 'tms.samples_per_prompt=2']);
    expect([plan.checkpointSteps.length, plan.answers?.count, plan.answers?.draws.checkpoints]).toEqual([
      11, 13_200, 11,
    ]);
    const drawn = planOf(['tms.include_base=true', 'tms.samples_per_prompt=2']).plan.answers;
    expect(plan.answers?.referenceVisits).toBe(drawn?.referenceVisits);
  });

  it('a control trains and generates as well', () => {
    const { plan } = planOf(['method=sft', 'controls.base_samples=true']);
    expect(plan.tokens).toMatchObject({ controlTokensExpected: 288_000, generatedTokensExpected: 6000 });
  });

  it('counts disk: 9 checkpoints and 2 final models of 40 bytes, 2 states of 40 + 80', () => {
    const model = { trainableParameters: 10, bytesPerWeight: 4 };
    const { plan } = planOf(['save_steps=100'], { model, throughput: null });
    expect(plan.disk).toMatchObject({ weightBytes: 440, stateBytes: 240 });
    const lean = planOf(['save_steps=100', 'tms.keep_checkpoints=false', 'save_total_limit=null'], {
      model,
      throughput: null,
    });
    expect(lean.plan.disk).toMatchObject({ weightBytes: 80, stateBytes: 1200 });
  });

  it('tells time from measured throughput: 2 · 288,000 tokens at 1,000/s and the answers at 100/s', () => {
    const { plan, answers } = planOf([], { model: null, throughput: { train: 1000, generate: 100 } });
    expect(plan.seconds).toBeCloseTo(576 + ((answers?.count ?? 0) * 10) / 100, 6);
  });

  it('works with one example and nothing held out', () => {
    const one = { trainExamples: 1, testExamples: 0, trainTokens: 20, trainPromptTokens: 10 };
    const { plan } = planOf(['tms.num_checkpoints=3'], unknown, one);
    expect([plan.sft.steps, plan.checkpointSteps]).toEqual([24, [8, 16, 24]]);
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
      model: { trainableParameters: 1e9, bytesPerWeight: 4 },
      throughput: { train: 1000, generate: 100 },
    };
    expect(describePlan(planOf([], machine).plan)).toMatchInlineSnapshot(`
      [
        "data      600 training examples (12,000 tokens), 300 held out",
        "sft       456 steps of 32 (24 epochs), learning rate 0.0001 linear after 10 warm-up steps (reaches 0.0001, above 0 at 455 of 456 steps)",
        "harvest   checkpoints at steps 46, 91, 137, 182, 228, 274, 319, 365, 410, 456",
        "          generate the 5,079 answers that are read, of 6,000; at most 64 tokens each; per checkpoint 512, 498, 516, 508, 520, 511, 510, 514, 500, 490",
        "mixture   α = 0.25: 3,617 of 14,400 visits (25.1 %) train on the reference",
        "student   456 steps of 32 (24 epochs), learning rate 0.0001 linear after 10 warm-up steps (reaches 0.0001, above 0 at 455 of 456 steps)",
        "evaluate  at steps 0, 152, 304, 456 of each training",
        "tokens    576,000 trained, 50,790 generated if answers are as long as references (at most 325,056)",
        "disk      at most 68 GB: weights 44 GB, training states 24 GB, answers 2.6 MB",
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
      'the learning rate is 0 at every step of the SFT run: 1 step in all, and a warm-up of 1, whose first step has rate 0',
    );
    const student = ['tms.num_checkpoints=1', 'warmup_steps=1', 'tms.student.num_train_epochs=1'];
    expect(() => planOf(student, unknown, tiny)).toThrow(/at every step of the student: 1 step in all/);
    expect(planOf([...once.slice(0, 2), 'warmup_steps=0'], unknown, tiny).plan.cautions).toEqual([
      expect.stringContaining('a step takes up to 32 examples'),
    ]);
  });

  it('that never reaches its peak is planned with a caution; the plan names the highest rate', () => {
    const { plan } = planOf(['warmup_steps=500', 'tms.student.num_train_epochs=48']);
    // Step 456, the last, has (456 − 1)/500 of 1e-4; the student has 912 steps and gets there.
    expect(plan.cautions).toEqual([
      'the SFT run ends in its warm-up (456 of 500 steps): the learning rate reaches 0.000091, never 0.0001, and is above 0 at 455 of 456 steps',
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

it('weights held in bfloat16 are a caution that says which of them cannot move, but not under an adapter', () => {
  // 512 × 1e-4 = 0.0512.
  expect(planOf(['dtype=bfloat16']).plan.cautions).toEqual([
    expect.stringMatching(
      /at 0\.0001: every weight above 0\.0512\)\. What is most likely wanted is bf16: true/,
    ),
  ]);
  expect(planOf(['dtype=bfloat16', 'use_peft=true']).plan.cautions).toEqual([]);
});
