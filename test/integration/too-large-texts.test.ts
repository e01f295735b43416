/** A text that is too large is named by its line: in the data, in an evaluation set, for a message and for the model. */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { answerPrompts } from '../../src/cli/generate-answers.ts';
import { indexExamples } from '../../src/data/example-index.ts';
import { seekableFile } from '../../src/data/open-file.ts';
import { UsageError } from '../../src/errors.ts';
import { Worker } from '../../src/worker/worker.ts';
import { recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();

const rowsWith = (long: Readonly<Record<number, number>>) =>
  temporaryFile(
    'rows.jsonl',
    [1, 2, 3, 4, 5, 6]
      .map(line => ({ prompt: `say ${line} ${'x'.repeat(long[line] ?? 0)}`, completion: 'ab' }))
      .map(row => `${JSON.stringify(row)}\n`)
      .join(''),
  );

/** Bytes of text and a little more: messages in which the long rows have no place. */
const small = { headerBytes: 4096 + 500, tensorBytes: 2 ** 20 };

/** A run on a model with 512 positions. */
function run(more: Settings, most?: typeof small) {
  const settings = {
    model_name_or_path: 'toy:1',
    dataset_name: rowsWith({}),
    test_size: 0,
    max_length: 64,
    max_steps: 1,
    method: 'sft',
    ...more,
  };
  return recordRun(folder, settings, most && { most });
}

const setOf = (path: string, more: object) => ({ eval: { sets: [{ name: 'say', path, ...more }] } });

describe('a text that no message can carry', () => {
  it('is a problem of its line of the training data', async () => {
    await expect(run({ dataset_name: rowsWith({ 3: 600, 5: 700 }) }, small)).rejects.toThrow(
      /rows\.jsonl: 2 lines are wrong\n {2}line 3: has \d+ bytes of text; a message to the worker takes \d+\n {2}line 5: has \d+ bytes/,
    );
  });

  it('is a problem of its line of an evaluation set', async () => {
    await expect(run(setOf(rowsWith({ 2: 600, 6: 700 }), { max_new_tokens: 4 }), small)).rejects.toThrow(
      /evaluation set say: .*rows\.jsonl: 2 lines are wrong\n {2}line 2: has \d+ bytes of text; .*\n {2}line 6: has \d+ bytes/,
    );
  });
});

describe('a prompt of an evaluation set that does not fit the model', () => {
  it('is a problem of its line, with the room that there is', async () => {
    const path = rowsWith({ 4: 300 });
    await expect(run(setOf(path, { max_new_tokens: 250 }))).rejects.toMatchObject({
      message: `evaluation set say: ${path}: 1 line is wrong\n  line 4: a prompt of 306 tokens and max_new_tokens 250 do not fit the 512 positions of the model`,
      fix: 'set max_new_tokens of say to 206, or take these lines out',
    });
  });
});

describe('a line that is larger than any text', () => {
  it('is a problem of that line, whatever stands in it', async () => {
    const path = join(temporaryDirectory(), 'rows.jsonl');
    const row = '{"prompt": "a", "completion": "b"}\n';
    const [file, size] = [openSync(path, 'w'), 257 * 2 ** 20];
    writeSync(file, row);
    ftruncateSync(file, row.length + size); // a hole: bytes that take no disk
    writeSync(file, `\n${row}{"prompt"\n`, row.length + size);
    closeSync(file);
    const index = indexExamples(await seekableFile(path, temporaryDirectory()), {
      columns: { prompt: null, completion: null, messages: null },
      as_chat: false,
      system_prompt: null,
      duplicates: 'keep',
    });
    await expect(index).rejects.toThrow(
      /rows\.jsonl: 2 lines are wrong\n {2}line 2: has 257 MiB, more than the 256 MiB that a line may have\n {2}line 4: broken JSON/,
    );
  });
});

describe('a prompt of tms generate that is too large', () => {
  const options = {
    isChat: false,
    system: null,
    temperature: 1,
    topP: 1,
    maxNewTokens: 3,
    seed: 0,
    number: 1,
  };

  async function answer(prompts: readonly string[], headerBytes: number) {
    const worker = new Worker(new ToyChannel(), { headerBytes, tensorBytes: 2 ** 20 });
    onTestFinished(() => worker.close());
    const { maxPositions, eosTokenIds } = await worker.load({ model: 'toy:1' });
    return answerPrompts(worker, prompts, { ...options, maxPositions, eosTokenIds });
  }

  it.each([
    [['a', 'b', 'x'.repeat(512)], 2 ** 20, 'prompt 3 has 512 tokens, and the model 512 positions'],
    [['x'.repeat(512)], 2 ** 20, 'the prompt has 512 tokens, and the model 512 positions'],
    [
      ['a', 'x'.repeat(512)],
      4096 + 400,
      /^prompt 2 has \d+ bytes of text; a message to the worker takes \d+$/,
    ],
  ])('is named by its number: case %#', async (prompts, headerBytes, message) => {
    await expect(answer(prompts, headerBytes)).rejects.toMatchObject({
      constructor: UsageError,
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });
  });
});
