/** What of determinism is at work in a run, in words. Pure. */
import type { EnvironmentRecord } from './records.ts';

const meanings: Readonly<Record<string, string>> = {
  deterministic_algorithms: 'deterministic kernels',
  strict_sampling: 'strict sampling (an answer does not depend on its batch)',
};

/** Layers with no bearing on a device are left out: cuBLAS on a CPU, MKL on a GPU. */
const elsewhere = (device: string) =>
  device.startsWith('cpu') ? ['CUBLAS_WORKSPACE_CONFIG'] : ['MKL_CBWR', 'OMP_WAIT_POLICY', 'OMP_NUM_THREADS'];

/** `active: strict sampling …, MKL_CBWR=AVX2; not active: deterministic kernels`. Seeds of draws, order and answers always are. */
export function describeLayers({
  determinism,
  device,
  threads,
}: Pick<EnvironmentRecord, 'determinism' | 'device' | 'threads'>): string {
  const layers = Object.entries(determinism)
    .filter(([name]) => !elsewhere(device).includes(name))
    .map(([name, value]) => ({
      isActive: value !== 'unset' && value !== 'false',
      text: meanings[name] ?? (value === 'unset' ? name : `${name}=${value}`),
    }));
  const texts = (isActive: boolean) =>
    layers.filter(one => one.isActive === isActive).map(({ text }) => text);
  const on = [
    'seeds of order, draws and answers',
    ...texts(true),
    ...(device.startsWith('cpu') ? [`${threads} threads`] : []),
  ];
  const off = texts(false);
  return `active: ${on.join(', ')}${off.length === 0 ? '' : `; not active: ${off.join(', ')}`}`;
}
