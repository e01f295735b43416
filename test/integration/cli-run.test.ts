/** `tms plan`, `run` and `resume` as a person types them, with torch on the tiny model; what is printed is what the files say. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { startTms, tms } from '../support/command-line.ts';
import { readRecord, readRows, workFolder, writeRows } from '../support/recorded-run.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

const folder = workFolder();
const completions = ['ab', 'ba', 'aab', 'b', 'abab', 'ab', 'ba', 'b'];
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  writeRows(
    folder,
    'train.jsonl',
    completions.map((completion, i) => ({ prompt: `say ${i}`, completion })),
  );
  writeRows(folder, 'test.jsonl', [
    { prompt: 'tell 0', completion: 'ab' },
    { prompt: 'tell 1', completion: 'b' },
  ]);
  writeRows(
    folder,
    'keep.jsonl',
    [0, 1, 2, 3].map(i => ({ prompt: `keep ${i}`, answer: 'ab' })),
  );
  const settings = {
    model_name_or_path: await tinyModel(),
    dataset_name: 'train.jsonl',
    dataset_test_name: 'test.jsonl',
    output_dir: 'out',
    learning_rate: 1e-2,
    lr_scheduler_type: 'constant',
    num_train_epochs: 6,
    per_device_train_batch_size: 4,
    max_length: 40,
    tms: { num_checkpoints: 2, max_new_tokens: 6 },
    eval: {
      sets: [{ name: 'say', path: 'train.jsonl', columns: { answer: 'completion' }, max_new_tokens: 6 }],
    },
    retention: { sets: [{ name: 'keep', path: 'keep.jsonl', max_new_tokens: 6 }] },
    pld: { size: 2 },
    kl: { size: 2 },
    eval_points: 3,
  };
  writeFileSync(join(folder, 'run.yaml'), JSON.stringify(settings));
  env = { TMS_PYTHON: await pythonPath(), TMS_HOME: join(folder, 'home'), OMP_NUM_THREADS: '1' };
});

const run = (...args: string[]) => tms(args, { cwd: folder, env });

describe('tms plan', () => {
  it('prints what would be done, by hand: 2 steps of 4 an epoch, 12 in all, half and end answer; nothing is written', () => {
    const { status, stdout } = run('plan', 'run.yaml');
    expect(status).toBe(0);
    expect(stdout).toContain('8 training examples');
    expect(stdout).toMatch(/^sft +12 steps of 4 \(6 epochs\), learning rate 0.01 constant/m);
    expect(stdout).toMatch(/^student +12 steps of 4 \(6 epochs\)/m);
    expect(stdout).toMatch(/checkpoints at steps 6, 12$/m);
    expect(stdout).toMatch(/at steps 0, 6, 12 of each training$/m);
    const [, gold] = stdout.match(/α = 0.25: (\d+) of 48 visits/) ?? [];
    expect(Math.abs(Number(gold) - 12)).toBeLessThan(12);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  it('--json prints the same as one record', () => {
    const { status, stdout } = run(
      'plan',
      'run.yaml',
      '--json',
      '--set',
      'method=sft',
      '--set',
      'tms=',
      '--set',
      'num_train_epochs=',
      '--set',
      'max_steps=5',
    );
    expect(status).toBe(0);
    const plan = JSON.parse(stdout);
    expect(Object.keys(plan.trainings)).toEqual(['sft']);
    expect(plan).toMatchObject({
      method: 'sft',
      trainings: { sft: { steps: 5, stepsPerEpoch: 2, evaluationSteps: [0, 3, 5] } },
      tokens: { generatedAtMost: 0 },
      data: { trainExamples: 8, testExamples: 2 },
    });
  });
});

describe('tms run with tms', () => {
  it('trains, reports, and prints the numbers of evaluation/ and a command that goes on from there', () => {
    const gate = ['--set', 'retention.max_drop=0.5', '--junit', 'gate.xml'];
    const { status, stdout } = run('run', 'run.yaml', ...gate);
    expect(status).toBe(0);
    expect(readFileSync(join(folder, 'gate.xml'), 'utf8')).toContain('tests="1" failures="0"');
    expectTable(stdout, 'out', ['sft', 'student']);
    expect(stdout).toContain('out/report.html');
    expect(stdout).toContain('npx tms generate out/models/student');
    for (const file of [
      'report.html',
      'report.md',
      'models/student/model.safetensors',
      'models/sft/model.safetensors',
    ])
      expect(existsSync(join(folder, 'out', file)), file).toBe(true);
    expect(readRecord(folder, 'out/run.json').status).toBe('finished');
    expect(readRows(folder, 'out/metrics.jsonl').filter(line => 'loss' in line)).toHaveLength(24);
  });

  it('gives the same again, which tms verify shows and leaves nothing of', () => {
    const { status, stdout, stderr } = run('verify', 'out/'); // as shells complete it
    expect([status, stderr.match(/error/)], stderr).toEqual([0, null]);
    expect(stdout).toMatch(/^same +weights of sft at step 12$/m);
    expect(stdout).toMatch(/^same +models\/student\/model.safetensors$/m);
    expect(stdout).toMatch(/^determinism +active: .*deterministic kernels/m);
    expect(stdout).toMatch(/^verified +all \d+ artefacts of out\/ are the same$/m);
    expect(readdirSync(folder).filter(name => name.includes('verify'))).toEqual([]);
  });

  it('is refused in a directory that holds a run, with 3', () => {
    const { status, stdout, stderr } = run('run', 'run.yaml');
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(/out holds a run already \(finished\)\n +fix: /);
  });
});

describe('tms run with sft', () => {
  it('stops at Ctrl-C with 130 and says how to go on; tms resume ends it', async () => {
    // The scorer waits in the middle of the training, so that Ctrl-C certainly comes while the run is at work.
    writeFileSync(
      join(folder, 'wait.sh'),
      'if [ -e begun ]; then touch waiting; until [ -e go ]; do sleep 0.1; done; fi; touch begun; sed "s/.*/1/"',
    );
    const set = {
      name: 'keep',
      path: 'keep.jsonl',
      max_new_tokens: 6,
      scorer: 'command',
      command: ['sh', 'wait.sh'],
    };
    const sets = ['method=sft', 'tms=', 'output_dir=sft', `retention.sets=${JSON.stringify([set])}`];
    const begun = startTms(['run', 'run.yaml', ...sets.flatMap(one => ['--set', one])], { cwd: folder, env });
    await expect.poll(() => existsSync(join(folder, 'waiting')), { timeout: 300_000 }).toBe(true);
    begun.kill('SIGINT');
    await expect.poll(begun.said, { timeout: 300_000 }).toContain('stopping at the next safe point');
    writeFileSync(join(folder, 'go'), '');
    const { status, stdout, stderr } = await begun.ended;
    expect(stderr).toContain('tms resume sft');
    expect([status, stdout]).toEqual([130, '']);
    expect(readRecord(folder, 'sft/run.json').status).toBe('interrupted');

    for (const [set, message] of [
      ['learning_rate=1', 'learning_rate: 0.01 → 1'],
      ['output_dir=elsewhere', '--set output_dir means nothing'],
      ['worker.token_budgte=512', 'did you mean token_budget?'],
    ] as const) {
      const refused = tms(['resume', 'sft', '--set', set], { cwd: folder, env: { TMS_PYTHON: '/nowhere' } });
      expect([refused.status, refused.stdout], set).toEqual([3, '']);
      expect(refused.stderr).toContain(message);
    }
    const resumed = run('resume', 'sft', '--set', 'worker.token_budget=512', '--set', 'run_name=less');
    expect(resumed.status).toBe(0);
    expect(resumed.stderr).toContain('note: worker.token_budget: 2048 → 512: from here on the last bits');
    expect(readFileSync(join(folder, 'sft/report.md'), 'utf8')).toMatch(
      /less.*worker.token_budget: 2048 → 512/s,
    );
    expectTable(resumed.stdout, 'sft', ['sft']);
    const steps = readRows(folder, 'sft/metrics.jsonl').filter(line => 'loss' in line);
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(readRecord(folder, 'sft/run.json').status).toBe('finished');
  });
});

describe('what cannot be done', () => {
  it.each([
    [['run', 'nowhere.yaml'], 'nowhere.yaml'],
    [['run', 'run.yaml', '--set', 'tms.alhpa=1'], 'did you mean alpha?'],
    [['plan', 'run.yaml', '--set', 'learning_rate=fast'], 'learning_rate'],
    [['resume', 'nowhere'], 'nowhere holds no run to resume'],
    [['run', 'run.yaml', '--resume', '--set', 'output_dir=new'], 'new holds no run to resume'],
  ])('%j is refused with 3 before Python starts', (args, message) => {
    const { status, stdout, stderr } = tms(args, { cwd: folder, env: { TMS_PYTHON: '/nowhere/python' } });
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toContain(message);
  });
});

/** The last row of each training has its accuracy and Δ retention, PLD and KL as evaluation/ has them. */
function expectTable(stdout: string, output: string, models: ('sft' | 'student')[]): void {
  const lines = stdout.split('\n');
  const base = readRecord(folder, output, 'evaluation/base-step-000000.json');
  expectRow(lines, 'base', base, base);
  for (const model of models) {
    const label = { sft: 'SFT', student: 'TMS' }[model];
    expectRow(
      lines,
      `${label} @12`,
      readRecord(folder, output, `evaluation/${model}-step-000012.json`),
      base,
    );
  }
}

type Evaluation = {
  sets: { accuracy: number }[];
  pld: { test: { nllPerToken: number } };
  kl: { target: { perSequence: number }; retention: { perSequence: number } };
};

function expectRow(lines: string[], label: string, { sets, pld, kl }: Evaluation, base: Evaluation): void {
  const line = lines.find(text => text.startsWith(label)) ?? '';
  const cells = line.slice(label.length).trim().split(/ +/);
  const [target, kept] = sets.map(({ accuracy }) => accuracy);
  const change = (kept as number) - (base.sets[1]?.accuracy as number);
  expect(cells[0], line).toBe((target as number).toFixed(3));
  if (label !== 'base') expect(Number(cells[1]?.replace('−', '-')), line).toBeCloseTo(change, 3);
  expect(cells, line).toContain(pld.test.nllPerToken.toFixed(3));
  expect(cells, line).toContain(Math.abs(kl.target.perSequence).toFixed(2));
  expect(cells, line).toContain(Math.abs(kl.retention.perSequence).toFixed(2));
}
