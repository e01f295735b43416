import { Worker } from '../../src/worker/worker.ts';
import { describeConformance } from '../support/conformance.ts';
import { ToyChannel } from '../support/toy-worker.ts';

describeConformance('toy', async () => {
  const channel = new ToyChannel();
  return { worker: new Worker(channel), channel, trains: true, model: 'toy:', close: () => channel.close() };
});
