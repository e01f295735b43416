/** What decides the last bits of a run: what is set, as it turned out on this machine. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { listSettings } from '../../src/config/settings-list.ts';
import { changedNumerics } from '../../src/run/numerics.ts';
import { currentNumerics } from '../../src/runner/environment.ts';
import type { ModelInfo, Result } from '../../src/worker/protocol.ts';

const model = {
  attention: 'sdpa',
  device: 'cuda:0',
  strictSampling: false,
  computeDtype: 'bfloat16',
  layout: 'pack',
} as ModelInfo;
const status = {
  versions: { torch: '2.13.0', transformers: '5.19.2' },
  threads: 8,
  deviceName: 'NVIDIA H100',
  determinism: { MKL_CBWR: 'unset' },
} as unknown as Result<'status'>;
const config = (...sets: string[]) =>
  parseConfig('model_name_or_path: m\ndataset_name: d.jsonl\noutput_dir: o\n', 'run.yaml', sets);

it('every key that affects numerics is in it', () => {
  const keys = listSettings().flatMap(({ path, 'x-affects': level }) => (level === 'numerics' ? [path] : []));
  expect(Object.keys(currentNumerics(config(), model, status))).toEqual(expect.arrayContaining(keys));
});

it('threads count on a CPU, and rows that are sampled side by side where sampling is not strict', () => {
  const lower = config('sampler.max_rows=4');
  expect(currentNumerics(lower, model, status)).toMatchObject({
    'sampler.max_rows': 4,
    'worker.threads': null,
  });
  const onCpu = { ...model, device: 'cpu', strictSampling: true };
  expect(currentNumerics(lower, onCpu, status)).toEqual(currentNumerics(config(), onCpu, status));
  expect(currentNumerics(config(), onCpu, status)['worker.threads']).toBe(8);
});

it('samplers count where an answer depends on what is sampled beside it, and where they share threads', () => {
  const value = (found: object, ...sets: string[]) =>
    currentNumerics(config('sampler.workers=2', ...sets), { ...model, ...found }, status)['sampler.workers'];
  expect(value({})).toBe(2);
  expect(value({ strictSampling: true })).toBeNull();
  expect(value({ strictSampling: true, device: 'cpu' })).toBe(2);
  expect(value({ strictSampling: true, device: 'cpu' }, 'worker.threads=4')).toBeNull();
});

it('the library of an 8-bit optimiser counts where it is used', () => {
  const installed = { ...status, versions: { ...status.versions, bitsandbytes: '0.48.1' } };
  expect(currentNumerics(config('optim=adamw_8bit'), model, installed).bitsandbytes).toBe('0.48.1');
  expect(currentNumerics(config('use_peft=true', 'load_in_4bit=true'), model, installed).bitsandbytes).toBe(
    '0.48.1',
  );
  expect(currentNumerics(config(), model, installed).bitsandbytes).toBeUndefined();
});

it('a key that a run of an earlier version does not name is null', () => {
  const values = { determinism: 'auto' };
  expect(
    changedNumerics({ numerics: [{ at: '', after: null, values }] }, { ...values, later: null }),
  ).toEqual([]);
  expect(changedNumerics({ numerics: [{ at: '', after: null, values }] }, { ...values, later: 2 })).toEqual([
    'later: undefined → 2',
  ]);
});

it('another device, driver setting or version is another', () => {
  const now = currentNumerics(config(), model, status);
  const others = [
    { ...status, deviceName: 'NVIDIA H200' },
    { ...status, versions: { ...status.versions, torch: '2.11.0' } },
    { ...status, determinism: { MKL_CBWR: 'COMPATIBLE' } },
  ];
  for (const other of others) expect(currentNumerics(config(), model, other)).not.toEqual(now);
  expect(currentNumerics(config(), { ...model, computeDtype: 'float32' }, status)).not.toEqual(now);
});
