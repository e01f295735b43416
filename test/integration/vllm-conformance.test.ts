/** On a real engine, where one is: `TMS_VLLM_PYTHON=… npx vitest run test/integration/vllm-conformance.test.ts`. */
import { describe } from 'vitest';
import { projectRoot } from '../../src/python/paths.ts';
import { Connection } from '../../src/worker/connection.ts';
import { Worker } from '../../src/worker/worker.ts';
import { describeSamplerConformance } from '../support/conformance.ts';
import { tinyModel } from '../support/tiny-model.ts';

const python = process.env.TMS_VLLM_PYTHON;

describe.skipIf(python === undefined)('on a real engine', () => {
  describeSamplerConformance('vLLM', async () => {
    const model = await tinyModel(128); // its kernels take heads of 32 features or more
    const channel = await Connection.open({
      python: python ?? '',
      root: projectRoot(),
      module: 'py_worker.vllm',
    });
    return { worker: new Worker(channel), channel, trains: false, model, close: () => channel.close() };
  });
});
