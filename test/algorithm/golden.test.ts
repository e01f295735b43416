/**
 * One run, kept. Every number here is also explained by the other tests of this folder; this one says that none of them moved. A change
 * that means to move them signs for it: `npx vitest run test/algorithm/golden.test.ts --update` writes what it finds into this file, and
 * the commit shows it. Floating-point numbers have six digits, so that another libm does not count as a change.
 */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { readRecord, readRows, recordRun, workFolder, writeRows } from '../support/recorded-run.ts';
import { examples, smallRun } from '../support/small-run.ts';

const folder = workFolder();

it('a run on the toy gives the numbers that it gave', async () => {
  const say = writeRows(folder, 'say.jsonl', examples);
  const settings = smallRun(folder, {
    lr_scheduler_type: 'cosine',
    warmup_steps: 1,
    weight_decay: 0.01,
    eval: {
      temperatures: [0, 1],
      sets: [{ name: 'say', path: say, columns: { answer: 'completion' }, max_new_tokens: 6 }],
    },
    pld: { size: 3 },
    kl: { size: 2 },
    eval_points: 3,
    controls: { base_samples: true },
    base_answers: { max_new_tokens: 9 },
    tms: { include_base: true, samples_per_prompt: 2, unfinished: 'redraw', max_redraws: 2 },
  });
  const { output } = await recordRun(folder, settings);
  const answers = [0, 3, 6, 9].flatMap(step =>
    readRows(output, `answers/student/${step === 0 ? 'base' : 'sft'}-step-00000${step}.jsonl`),
  );
  const visits = readRows(output, 'curriculum.jsonl').filter(({ training }) => training === 'student');
  const metrics = readRows(output, 'metrics.jsonl');
  const last = (stage: string) =>
    rounded(metrics.findLast(line => line.training === stage && 'pld/test_nll' in line));
  expect({
    curriculum: digest(
      JSON.stringify(visits.map(({ source, checkpointStep, sample }) => [source, checkpointStep, sample])),
    ),
    answers: digest(JSON.stringify(answers.map(({ seed, attempt, ids }) => [seed, attempt, ids]))),
    losses: digest(JSON.stringify(metrics.map(({ loss, grad_norm }) => [digits(loss), digits(grad_norm)]))),
    weights: ['sft', 'student', 'base-answers'].map(model => normOf(output, model)),
  }).toMatchInlineSnapshot(`
    {
      "answers": "adbe0f9ff7496437",
      "curriculum": "cfe56bdc40ed573d",
      "losses": "08168c7b9bbbf780",
      "weights": [
        "135.241",
        "136.551",
        "228.293",
      ],
    }
  `);
  expect(last('student')).toMatchInlineSnapshot(`
    {
      "eval/say/accuracy": 0,
      "eval/say/accuracy_t1": 0,
      "eval/say/unfinished": 10,
      "kl/target_per_sequence": 17.6501,
      "kl/target_per_token": 0.154825,
      "pld/test_bits_per_byte": 2.85185,
      "pld/test_nll": 1.31784,
      "pld/test_nll_per_sequence": 3.95351,
      "pld/train_bits_per_byte": 2.07399,
      "pld/train_nll": 1.00631,
      "pld/train_nll_per_sequence": 3.35436,
      "step": 9,
      "target/mean": 0,
      "training": "student",
    }
  `);
});

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function digits(value: number | undefined): string | null {
  return value === undefined ? null : value.toPrecision(6);
}

function rounded(line: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(line).map(([name, value]) => [
    name,
    typeof value === 'number' ? Number(digits(value)) : value,
  ]);
  return Object.fromEntries(entries);
}

/** Length of the vector of all weights. */
function normOf(output: string, model: string): string | null {
  const content = readRecord(output, 'models', model, 'toy-model.json');
  const weights = new Float32Array(new Uint8Array(Buffer.from(content.weights, 'base64')).buffer);
  return digits(Math.sqrt(weights.reduce((sum, weight) => sum + weight * weight, 0)));
}
