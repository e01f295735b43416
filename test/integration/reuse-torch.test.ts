/** What reuse.test.ts asks of inputs, of the files of a model: each is edited in turn. One worker serves all of it. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Connection } from '../../src/worker/connection.ts';
import { recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { doneIn, doneOver } from '../support/reuse.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { tinyModel, torchWorker } from '../support/tiny-model.ts';

const folder = workFolder();
const home = join(folder, 'home');
let worker: Connection;
let tiny: string;

beforeAll(async () => {
  tiny = await tinyModel();
  worker = await torchWorker();
  const run = await recordRun(folder, settingsFor(tiny), { home, channel: worker });
  expect(doneIn(run)).toEqual({ ...everything, encoded: true });
});
afterAll(() => worker.close());

const settingsFor = (model: string, more: Settings = {}): Settings =>
  smallRun(folder, {
    model_name_or_path: model,
    learning_rate: 1e-2,
    max_steps: 1,
    max_length: 120,
    eval: { sets: [saySet(folder, { count: 2, max_new_tokens: 2 })] },
    pld: { size: 2 },
    tms: { num_checkpoints: 1, alpha: 0, filters: 'none', max_new_tokens: 4 }, // a student that learns what SFT does not
    ...more,
  });

const everything = {
  encoded: false,
  trained: 'sft student',
  answered: 'sft 1',
  measured: 'base 0, sft 1, student 1',
};
/** The student is no other run's. */
const student = { encoded: false, trained: 'student', answered: '', measured: 'student 1' };

const json = (change: (content: Record<string, unknown>) => void) => (text: Buffer) => {
  const content = JSON.parse(text.toString());
  change(content);
  return Buffer.from(JSON.stringify(content));
};
const add = (line: string) => (text: Buffer) => Buffer.concat([text, Buffer.from(line)]);

/** `change`: of the file's bytes; of one that is not there, of none. */
it.each<[string, string, (bytes: Buffer) => Buffer, object]>([
  [
    'one bit of a weight',
    'model.safetensors',
    bytes => {
      const at = bytes.length - 2;
      bytes[at] = (bytes[at] ?? 0) ^ 0x40; // of the fraction
      return bytes;
    },
    everything,
  ],
  [
    'the configuration',
    'config.json',
    json(content => {
      const rope = (content.rope_parameters ?? content) as Record<string, unknown>;
      rope.rope_theta = 2;
    }),
    { ...everything, encoded: true },
  ],
  [
    'how it generates',
    'generation_config.json',
    json(content => void Object.assign(content, { eos_token_id: [3, 40] })),
    { ...everything, encoded: true },
  ],
  [
    'the tokenizer',
    'tokenizer.json',
    json(content => {
      const { vocab } = content.model as { vocab: Record<string, number> };
      [vocab.a, vocab.b] = [vocab.b as number, vocab.a as number];
    }),
    { ...everything, encoded: true },
  ],
  ['the template', 'chat_template.jinja', add('{# edited #}'), { ...everything, encoded: true }],
  ['code beside it', 'modeling_tiny.py', add('# edited\n'), { ...everything, encoded: true }],
  ['its card', 'README.md', add('edited'), student],
])('after an edit of %s', async (name, file, change, again) => {
  const model = join(folder, name.replaceAll(' ', '-'));
  cpSync(tiny, model, { recursive: true });
  const path = join(model, file);
  let before: Buffer = Buffer.alloc(0);
  try {
    before = readFileSync(path);
  } catch {
    // Not a file of this model.
  }
  writeFileSync(path, change(before));
  expect(await doneOver(home, { folder, settings: settingsFor(model), channel: worker })).toEqual(again);
});

it.each<[string, Settings, object]>([
  ['worker.threads', { worker: { threads: 2 } }, everything],
  ['attn_implementation', { attn_implementation: 'eager' }, everything],
  ['dtype', { dtype: 'bfloat16' }, everything],
])('after an edit of %s', async (_, edit, again) => {
  expect(await doneOver(home, { folder, settings: settingsFor(tiny, edit), channel: worker })).toEqual(again);
});
