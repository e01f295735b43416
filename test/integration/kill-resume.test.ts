/**
 * A run that is killed at any durable operation and resumed ends in the same bytes as one that was left alone. The toy worker makes a
 * run short enough to be killed at points spread over all of it, before and after fsync and rename; kill-home.test.ts looks at every one.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdLock } from '../../src/files/lock.ts';
import { projectRoot } from '../../src/python/paths.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

const root = projectRoot();
const driver = join(root, 'test/support/run-driver.ts');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kill-'));
  const words = Array.from({ length: 40 }, (_, i) =>
    ['ab', 'cd', 'ef', 'gh', 'ij'].map((pair, j) => pair[(i >> j) & 1]).join(''),
  );
  const train = words.map((word, i) => ({ prompt: `copy ${i} ${word}: `, completion: word }));
  const keep = words.slice(0, 6).map(word => ({ prompt: `keep ${word}: `, answer: word }));
  writeFileSync(join(folder, 'train.jsonl'), train.map(row => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(join(folder, 'keep.jsonl'), keep.map(row => `${JSON.stringify(row)}\n`).join(''));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A directory of its own with a configuration; every stage is in it, with saved states between. */
function newRun(name: string, more = ''): { config: string; home: string; output: string } {
  const place = join(folder, name);
  mkdirSync(place);
  const output = join(place, 'run');
  const config = join(place, 'run.yaml');
  writeFileSync(
    config,
    `model_name_or_path: "toy:1"
dataset_name: ${join(folder, 'train.jsonl')}
test_size: 8
output_dir: ${output}
learning_rate: 0.1
lr_scheduler_type: constant
num_train_epochs: 3
per_device_train_batch_size: 8
max_length: 40
save_steps: 5
tms: {num_checkpoints: 3, max_new_tokens: 8, max_fallback_fraction: 1}
eval: {sets: [{name: copy, path: ${join(folder, 'train.jsonl')}, columns: {answer: completion}, limit: 6, max_new_tokens: 8}]}
retention: {sets: [{name: keep, path: ${join(folder, 'keep.jsonl')}, max_new_tokens: 8}]}
pld: {size: 6}
kl: {size: 3}
eval_points: 3
controls: {base_samples: true}
${more}`,
  );
  return { config, home: join(place, 'home'), output };
}

function drive(
  { config, home }: { config: string; home: string },
  killAt?: number,
  python = '',
  more: Record<string, string> = {},
) {
  const args = ['--import', 'tsx', driver, config, home, ...(killAt === undefined ? [] : [String(killAt)])];
  return spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, TMS_PYTHON: python, ...more },
  });
}

/** Digest of every file that must not depend on when a run was interrupted: all but times, the ledger and the run's own record. */
function digests(output: string): Record<string, string> {
  const varying = new Set([
    'run.json',
    'timing.jsonl',
    'ledger.jsonl',
    'config.input.yaml',
    'config.resolved.yaml',
    'environment.json',
  ]);
  const files = readdirSync(output, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile());
  const names = files
    .map(entry => join(entry.parentPath, entry.name).slice(output.length + 1))
    .filter(name => !varying.has(name));
  return Object.fromEntries(
    names.sort().map(name => [
      name,
      createHash('sha256')
        .update(readFileSync(join(output, name)))
        .digest('hex'),
    ]),
  );
}

describe('a run that is killed and resumed', () => {
  let expected: Record<string, string>;
  let operations: number;
  beforeAll(() => {
    const whole = newRun('whole');
    const result = drive(whole);
    expect(result.stderr).toBe('');
    operations = Number(result.stdout);
    expected = digests(whole.output);
    expect(Object.keys(expected)).toEqual(
      expect.arrayContaining(['metrics.jsonl', 'curriculum.jsonl', 'answers/student/sft-step-000012.jsonl']),
    );
  });

  it('ends in the same bytes, wherever it was killed', () => {
    expect(operations).toBeGreaterThan(100);
    const points = Number(process.env.TMS_KILL_POINTS ?? 4); // all of them: 2 × operations
    // Odd and even in turn: before an operation, after an operation. The first ones: while the directory is made.
    const spread = Array.from(
      { length: points },
      (_, i) => Math.floor(((i + 0.5) * 2 * operations) / points / 2) * 2 + (i % 2),
    );
    for (const killAt of [9, 11, ...spread]) {
      const run = newRun(`killed-${killAt}`);
      expect(drive(run, killAt).signal, `killed at ${killAt}`).toBe('SIGKILL');
      const resumed = drive(run);
      expect(resumed.stderr, `resumed after ${killAt}`).toBe('');
      expect(digests(run.output), `killed at ${killAt} of ${2 * operations}`).toEqual(expected);
    }
  });

  it('ends in the same bytes where samplers answer beside the training', () => {
    const samplers = 'sampler: {workers: 2}\n';
    for (const share of [0.3, 0.5]) {
      const run = newRun(`samplers-killed-${share}`, samplers);
      expect(drive(run, Math.floor(operations * share) * 2).signal).toBe('SIGKILL');
      expect(drive(run).stderr).toBe('');
      expect(digests(run.output)).toEqual(expected);
    }
  });

  it('takes damaged files for missing ones: a ledger cut in a line, an answer shard changed, metrics too long', () => {
    const run = newRun('damaged');
    expect(drive(run, Math.floor(operations * 0.75) * 2).signal).toBe('SIGKILL');
    const ledger = join(run.output, 'ledger.jsonl');
    writeFileSync(ledger, readFileSync(ledger, 'utf8').slice(0, -20));
    const shard = join(run.output, 'answers/student/sft-step-000004.jsonl');
    writeFileSync(shard, readFileSync(shard, 'utf8').replace('"sample":0', '"sample":1'));
    writeFileSync(join(run.output, 'metrics.jsonl'), '{"half a line', { flag: 'a' });
    expect(drive(run).stderr).toBe('');
    expect(digests(run.output)).toEqual(expected);
  });

  it('is refused while another process has it, and when the model changed', () => {
    const run = newRun('changed');
    expect(drive(run, operations).signal).toBe('SIGKILL');
    const text = readFileSync(run.config, 'utf8');
    writeFileSync(run.config, text.replace('toy:1', 'toy:2'));
    expect(drive(run).stderr).toMatch(
      /cannot be resumed: the configuration changed since it began: model_name_or_path: "toy:1" → "toy:2"/,
    );
    writeFileSync(run.config, text);
    const release = holdLock(join(run.output, 'lock'), 'the run');
    expect(drive(run).stderr).toMatch(/is in use by process \d+/);
    release();
    expect(drive(run).stderr).toBe('');
    expect(digests(run.output)).toEqual(expected);
  });

  it('shares its work: another α reads SFT from the store and asks only for answers that are new', () => {
    const first = newRun('first');
    expect(drive(first).stderr).toBe('');
    const second = newRun('second');
    cpSync(first.home, second.home, { recursive: true });
    writeFileSync(
      second.config,
      readFileSync(second.config, 'utf8').replace('num_checkpoints: 3,', 'num_checkpoints: 3, alpha: 0.75,'),
    );
    expect(drive(second).stderr).toBe('');
    const kinds = readFileSync(join(second.output, 'timing.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(kinds.filter(({ kind, training }) => kind === 'train' && training === 'sft')).toEqual([]);
    expect(kinds.filter(({ kind }) => kind === 'answer')).toEqual([]);
    expect(digests(second.output)['models/sft/toy-model.json']).toBe(expected['models/sft/toy-model.json']);
    expect(digests(second.output)['curriculum.jsonl']).not.toBe(expected['curriculum.jsonl']);
  });
});

describe('with torch', () => {
  it('a run with two samplers, one of them killed, killed itself in the middle of the student, ends in the same bytes', async () => {
    const [python, model] = [await pythonPath(), await tinyModel()];
    const begin = (name: string, more = '') => {
      const run = newRun(name, `worker: {threads: 1}\n${more}`);
      writeFileSync(
        run.config,
        readFileSync(run.config, 'utf8')
          .replace('toy:1', model)
          .replace('learning_rate: 0.1', 'learning_rate: 3e-3'),
      );
      return run;
    };
    const whole = begin('torch-whole');
    const result = drive(whole, undefined, python);
    expect(result.stderr).toBe('');
    const killed = begin('torch-killed', 'sampler: {workers: 2}\n');
    const end = Math.floor(Number(result.stdout) * 0.6) * 2;
    expect(drive(killed, end, python, { TMS_KILL_SAMPLER: 'first' }).signal).toBe('SIGKILL');
    expect(drive(killed, undefined, python).stderr).toBe('');
    const digest = digests(whole.output);
    expect(digest['models/student/model.safetensors']).toMatch(/^[0-9a-f]{64}$/);
    expect(digests(killed.output)).toEqual(digest);
  });
});
