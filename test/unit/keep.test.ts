import { expect, it } from 'vitest';
import { asCall, type Call, type CallOptions, type Channel, type Reply } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';
import { callsOf } from '../support/recorded-calls.ts';
import { readRecord, recordRun, workFolder } from '../support/recorded-run.ts';
import { smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();

/** A toy beside which another run saves the same weights in the moment before each save into the store. */
class Outrun implements Channel {
  readonly #toy = new ToyChannel();
  beaten = 0;

  call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors: Tensors = {},
    options?: CallOptions,
  ): Call<Reply<V>> {
    const isStored = verb === 'save' && /\/store\/.*\/step-\d+$/.test((params as Params<'save'>).path);
    if (!isStored) return this.#toy.call(verb, params, tensors, options);
    this.beaten += 1;
    const other = this.#toy.call(verb, params, tensors, options);
    const own = other.then(() => this.#toy.call(verb, params, tensors, options));
    return asCall(other.id, own);
  }

  close(): Promise<void> {
    return this.#toy.close();
  }
}

it('a checkpoint that another run put into the store in the meantime is taken, and the run ends as if alone', async () => {
  const alone = await recordRun(folder, smallRun(folder));
  const channel = new Outrun();
  const beaten = await recordRun(folder, smallRun(folder), { channel });
  expect(channel.beaten).toBe(2); // checkpoints at steps 3 and 6; the last one is the run's own model under a second name
  const saves = callsOf(beaten.calls, 'save').filter(({ params }) => /\/step-\d+$/.test(params.path));
  expect(saves.map(({ reply }) => reply)).toEqual([null, null]);
  const digests = ({ output }: { output: string }) => readRecord(output, 'models/student/toy-model.json');
  expect(digests(beaten)).toEqual(digests(alone));
});
