/** A run repeated from its own record, on the toy; where the repetition goes another way is chosen by hand. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { compareRuns } from '../../src/runner/compare-runs.ts';
import { refuseUnrepeatable, type Verification, verifyRun } from '../../src/runner/verify.ts';
import type { Call, CallOptions, Channel, Reply } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';
import { Worker } from '../../src/worker/worker.ts';
import { called } from '../support/in-process.ts';
import { interruptedRun, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
let settings: Settings;
let run: string;

beforeAll(async () => {
  settings = smallRun(folder, {
    eval: { sets: [saySet(folder)] },
    retention: { sets: [saySet(folder, { count: 4, name: 'keep' })] },
    kl: { size: 2 },
    pld: { size: 2 },
  });
  ({ output: run } = await recordRun(folder, settings));
});

let times = 0;
async function repeated(
  path: string,
  channel: Channel = new ToyChannel(),
  sets: readonly string[] = [],
): Promise<Verification> {
  const into = join(folder, `again-${times++}`);
  const saved = join(path, 'config.resolved.yaml');
  const config = loadConfig(saved, [`output_dir=${JSON.stringify(join(into, 'run'))}`, ...sets]);
  const worker = new Worker(channel);
  const progress = { update: () => {}, say: () => {} };
  const { signal } = new AbortController();
  const more = { input: readFileSync(saved, 'utf8'), tmsVersion: 'test', home: join(into, 'home') };
  return verifyRun(path, config, { worker, progress, signal, ...more });
}

/** Learns ten times as fast at one update. */
class Slipping extends ToyChannel {
  #updates = 0;
  readonly #at: number;
  constructor(at: number) {
    super();
    this.#at = at;
  }

  override call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors?: Tensors,
    options?: CallOptions,
  ): Call<Reply<V>> {
    if (verb !== 'optimStep' || ++this.#updates !== this.#at)
      return super.call(verb, params, tensors, options);
    const { adamw, ...rest } = params as { adamw: { learningRate: number } };
    const faster = { ...rest, adamw: { ...adamw, learningRate: adamw.learningRate * 10 } };
    return super.call(verb, faster as unknown as Params<V>, tensors, options);
  }
}

const statesIn = ({ artefacts }: Pick<Verification, 'artefacts'>) =>
  Object.fromEntries(artefacts.map(({ name, state }) => [name, state]));

describe('a run that is repeated', () => {
  test('sends nothing to its trackers again, and what they have is no part of it', async () => {
    const { output } = await recordRun(folder, settings);
    mkdirSync(join(output, 'trackers'));
    writeFileSync(join(output, 'trackers', 'tensorboard.json'), '{}');
    const { artefacts } = await repeated(output, new ToyChannel(), ['report_to=[tensorboard]']);
    expect(artefacts.filter(({ state }) => state !== 'same')).toEqual([]);
    expect(existsSync(join(folder, `again-${times - 1}`, 'run', 'trackers'))).toBe(false);
  });

  test('is the same in everything that it left: weights, answers, targets, measures and models', async () => {
    const found = await repeated(run);
    expect(found.changed).toEqual([]);
    expect(found.artefacts.filter(({ state }) => state !== 'same')).toEqual([]);
    const names = found.artefacts.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'plan.json',
        'evaluation/base-step-000000.json',
        'metrics.jsonl of sft',
        'weights of sft at step 3',
        'answers/student/sft-step-000003.jsonl',
        'targets/student.bin',
        'curriculum.jsonl',
        'base-samples.json',
        'weights of student at step 9',
        'evaluation/student-step-000009.json',
      ]),
    );
    expect(names.indexOf('plan.json')).toBeLessThan(names.indexOf('weights of sft at step 3'));
    expect(names.indexOf('weights of sft at step 9')).toBeLessThan(
      names.indexOf('weights of student at step 9'),
    );
    expect(new Set(names).size).toBe(names.length);
    // As shells complete the name of a folder.
    expect(compareRuns(`${run}/`, `${join(folder, `again-${times - 1}`, 'run')}/`)).toEqual(found.artefacts);
  });

  test('that goes another way from an update on is first different in the metrics of the step after', async () => {
    const found = await repeated(run, new Slipping(5));
    const first = found.artefacts.find(({ state }) => state !== 'same');
    // The fifth update of SFT: its own loss was computed before it.
    expect(first).toMatchObject({
      name: 'metrics.jsonl of sft',
      state: 'differs',
      found: expect.stringMatching(/step 6: loss: /),
    });
    expect(statesIn(found)).toMatchObject({
      'evaluation/base-step-000000.json': 'same',
      'weights of sft at step 3': 'same',
      'weights of sft at step 6': 'differs',
      'weights of student at step 9': 'differs',
    });
  });

  test('whose data changed is refused, by name', async () => {
    const data = String(settings.dataset_name);
    const text = readFileSync(data, 'utf8');
    try {
      appendFileSync(data, '{"prompt": "say more", "completion": "ab"}\n');
      await expect(repeated(run)).rejects.toMatchObject({
        exitCode: 3,
        message: expect.stringMatching(/cannot be repeated: the data changed since it began/),
      });
    } finally {
      writeFileSync(data, text);
    }
  });

  test('takes the day of the first one', async () => {
    const file = join(run, 'run.json');
    expect(JSON.parse(readFileSync(file, 'utf8')).templateDate).toMatch(/^\d{4}-\d\d-\d\d$/);
    const { output } = await recordRun(folder, { ...settings, chat_template_date: null });
    expect(compareRuns(output, run).every(({ state }) => state === 'same')).toBe(true);
  });
});

describe('what cannot be verified', () => {
  test('is a run that is not finished, no run, one whose configuration was edited, and another run', async () => {
    const { output } = await interruptedRun(folder, settings, { verb: 'optimStep', count: 4 });
    expect(() => refuseUnrepeatable(output)).toThrow('cannot be verified: the run is interrupted');
    expect(() => refuseUnrepeatable(folder)).toThrow('holds no run to verify');
    const edited = await recordRun(folder, settings);
    appendFileSync(join(edited.output, 'config.resolved.yaml'), '# edited\n');
    expect(() => refuseUnrepeatable(edited.output)).toThrow('is not what the ledger says');
    const { error } = await called(['verify', run, '--set', 'learning_rate=9', '--set', 'worker.threads=1']);
    expect(error).toMatchObject({
      exitCode: 3,
      message: `${run} cannot be repeated with learning_rate: ${settings.learning_rate} → 9`,
    });
  });

  test('a file that is no longer what the run wrote proves nothing: it is damaged, not different', async () => {
    const { output } = await recordRun(folder, settings);
    appendFileSync(join(output, 'answers/student/sft-step-000003.jsonl'), '{}\n');
    const found = compareRuns(output, run).filter(({ state }) => state !== 'same');
    expect(found).toEqual([
      {
        name: 'answers/student/sft-step-000003.jsonl',
        state: 'damaged',
        found: 'it is not what the ledger says',
      },
    ]);
  });

  test('of two seeds the plans differ first', async () => {
    const other = await recordRun(folder, { ...settings, seed: 8 });
    const [first] = compareRuns(run, other.output);
    expect(first).toMatchObject({ name: 'plan.json', state: 'differs' });
  });
});
