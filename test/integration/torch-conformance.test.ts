import { projectRoot } from '../../src/python/paths.ts';
import { Connection } from '../../src/worker/connection.ts';
import { Worker } from '../../src/worker/worker.ts';
import { describeConformance } from '../support/conformance.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

describeConformance('PyTorch', async () => {
  const model = await tinyModel();
  const channel = await Connection.open({ python: await pythonPath(), root: projectRoot() });
  return { worker: new Worker(channel), channel, trains: true, model, close: () => channel.close() };
});
