/** A model whose end of sequence is not its template's end of turn: every sampling of a run stops at both. */
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { answerPrompts } from '../../src/cli/generate-answers.ts';
import { parseConfig } from '../../src/config/load.ts';
import { executeRun } from '../../src/runner/execute.ts';
import type { CallOptions, Channel } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';
import { Worker } from '../../src/worker/worker.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';
import { eosId, padId } from '../support/toy/tokens.ts';
import { ToyChannel } from '../support/toy-worker.ts';

/** The toy's ChatML ends turns with `eosId`; its model is made to name another end. The stop ids of every `generate` are noted. */
class OtherEnd implements Channel {
  readonly stopIds: number[][] = [];
  readonly saved: Params<'save'>[] = [];
  readonly #toy = new ToyChannel();

  call: Channel['call'] = <V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors?: Tensors,
    options?: CallOptions,
  ) => {
    if (verb === 'save') this.saved.push(params as Params<'save'>);
    if (verb === 'generate') this.stopIds.push((params as Params<'generate'>).stopIds);
    const call = this.#toy.call(verb, params, tensors, options);
    call.then(
      ({ result }) => {
        if (verb === 'load') (result as { eosTokenIds: number[] }).eosTokenIds = [padId];
      },
      () => {},
    );
    return call;
  };

  close(): Promise<void> {
    return this.#toy.close();
  }
}

function otherEnd(): { channel: OtherEnd; worker: Worker } {
  const channel = new OtherEnd();
  const worker = new Worker(channel);
  onTestFinished(() => worker.close());
  return { channel, worker };
}

async function run(
  more: readonly string[],
): Promise<{ stopIds: number[][]; said: string[]; saved: Params<'save'>[] }> {
  const directory = temporaryDirectory();
  const records = Array.from({ length: 4 }, (_, i) =>
    JSON.stringify({ prompt: `Q${i}`, completion: `a${i}`, answer: `a${i}` }),
  ).join('\n');
  const data = temporaryFile('data.jsonl', records);
  const yaml = `
model_name_or_path: toy:3
output_dir: ${join(directory, 'run')}
dataset_name: ${data}
dataset_test_name: ${data}
max_length: 60
num_train_epochs: 1
per_device_train_batch_size: 2
tms: {num_checkpoints: 1, max_new_tokens: 5, max_fallback_fraction: 1}
eval: {sets: [{name: chats, path: ${data}, max_new_tokens: 5, as_chat: true}]}
pld: {size: 2}
kl: {size: 2}
`;
  const { channel, worker } = otherEnd();
  const said: string[] = [];
  await executeRun(parseConfig(yaml, 'test.yaml', more), {
    worker,
    home: join(directory, 'home'),
    progress: { update: () => {}, say: line => said.push(line) },
    signal: new AbortController().signal,
    input: yaml,
    tmsVersion: 'test',
    resume: false,
  });
  return { stopIds: channel.stopIds, said, saved: channel.saved };
}

describe('every sampling stops at the end of turn of the template too', () => {
  test('of a run on chats: evaluation, KL and answers; and that is said', async () => {
    const { stopIds, said, saved } = await run(['as_chat=true']);
    expect(saved.length).toBeGreaterThan(1);
    for (const { kind, stopIds: ends } of saved)
      expect(ends).toEqual(kind === 'weights' ? [padId, eosId] : null);
    expect(stopIds.length).toBeGreaterThan(3);
    expect(new Set(stopIds.map(ids => ids.join(' ')))).toEqual(new Set([`${padId} ${eosId}`]));
    expect(said).toContain(
      'note: answers end with <|im_end|>, which is no end of sequence of the model: sampling stops there too',
    );
  });

  test('of a run on texts: only where a set asks chats', async () => {
    const { stopIds, said } = await run([]);
    const seen = new Set(stopIds.map(ids => ids.join(' ')));
    expect(seen).toEqual(new Set([`${padId}`, `${padId} ${eosId}`]));
    expect(said.filter(line => line.includes('answers end with'))).toEqual([]);
  });

  test.each([
    [true, [[padId, eosId]]],
    [false, [[padId]]],
  ])('of tms generate with isChat %s', async (isChat, expected) => {
    const { channel, worker } = otherEnd();
    const { eosTokenIds, maxPositions } = await worker.load({ model: 'toy:3' });
    const options = { system: null, temperature: 1, topP: 1, maxNewTokens: 3, seed: 0, number: 1 };
    await answerPrompts(worker, ['a'], { ...options, isChat, maxPositions, eosTokenIds });
    expect(channel.stopIds).toEqual(expected);
  });
});
