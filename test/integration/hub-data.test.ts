/** Data of the hub: the real `datasets` and `huggingface_hub` against a stand-in server. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseConfig } from '../../src/config/load.ts';
import { fetchSplits } from '../../src/data/hub.ts';
import { projectRoot } from '../../src/python/paths.ts';
import { openSide } from '../../src/python/side.ts';
import { fetchData } from '../../src/runner/fetch-data.ts';
import { type HubServer, startHubServer } from '../support/hub-server.ts';
import { pythonWith } from '../support/python-packages.ts';
import { interruptedRun, readRecord, recordRun, workFolder } from '../support/recorded-run.ts';
import { examples, heldOut, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const { python, isMissing } = await pythonWith('datasets', 'datasets');
const lines = (rows: readonly object[]) => rows.map(row => `${JSON.stringify(row)}\n`).join('');

/** In the layout of openai/gsm8k: two configurations, told by the card. */
const card = `---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train-*}
  - {split: test, path: main/test-*}
- config_name: socratic
  data_files:
  - {split: train, path: socratic/train-*}
---
`;
const content = (train: string) => ({
  'datasets/openai/gsm8k': {
    files: {
      'README.md': card,
      'main/train-0.jsonl': train,
      'main/test-0.jsonl': lines(heldOut),
      'socratic/train-0.jsonl': '{"a": 1}\n',
    },
  },
  'datasets/acme/gated': { denied: { status: 403, code: 'GatedRepo' } },
});

let server: HubServer;
let commit: string;
beforeAll(async () => {
  server = await startHubServer({});
  commit = server.publish(content(lines(examples)));
  process.env.HF_ENDPOINT = server.url;
  process.env.HF_HOME = join(folder, 'hf');
});
afterAll(() => server.close());

describe.skipIf(isMissing)('a split of the hub', () => {
  const cacheDirectory = join(folder, 'cache');
  const gsm8k = { path: 'openai/gsm8k', name: 'main', split: 'train' };

  it('is fetched at the commit of its branch, as it is written; a directory of the same layout too', async () => {
    const directory = join(folder, 'set');
    mkdirSync(join(directory, 'data'), { recursive: true });
    writeFileSync(join(directory, 'data', 'train-0.jsonl'), '{"day": "é", "n": [1, 2.50, null]}\n');
    const said: string[] = [];
    const place = { cacheDirectory, python, say: (line: string) => said.push(line) };
    const [all, first, local] = await fetchSplits(
      [gsm8k, { ...gsm8k, split: 'test', firstRows: 2 }, { path: directory, split: 'train' }],
      place,
    );
    expect(all).toMatchObject({ revision: commit, rows: examples.length });
    expect(readRows(all?.file)).toEqual(examples);
    expect(readRows(first?.file)).toEqual(heldOut.slice(0, 2));
    expect(local).toMatchObject({ revision: null, rows: 1 });
    expect(readFileSync(local?.file ?? '', 'utf8')).toBe('{"day": "é", "n": [1.0, 2.5, null]}\n');
    expect(said).toContain(
      `openai/gsm8k (main), split train, at ${commit.slice(0, 12)}: 10 rows, ${all?.file}`,
    );

    // Neither Python nor network is asked for a commit that is here.
    const asked = server.requests.length;
    const [again] = await fetchSplits([{ ...gsm8k, revision: commit }], {
      cacheDirectory,
      python: '/nowhere',
    });
    expect([again, server.requests.length]).toEqual([all, asked]);
  });

  it('comes with the one that the examples before its questions are from', async () => {
    const text =
      'model_name_or_path: m\noutput_dir: o\nlearning_rate: 0.1\ndataset_name: a.csv\neval: { sets: [{ task: gsm8k, num_fewshot: 1 }] }';
    const { config, sources } = await fetchData(parseConfig(text, 'x.yaml'), { cacheDirectory, python });
    expect(sources.map(({ key, split, revision }) => [key, split, revision])).toEqual([
      ['eval.sets.gsm8k', 'test', commit],
      ['eval.sets.gsm8k.fewshot', 'train', commit],
    ]);
    const [set] = config.eval.sets;
    expect([readRows(set?.path), readRows(set?.fewshot_path ?? '')]).toEqual([heldOut, examples]);
  });

  it('that cannot be had is refused in words: which names there are, what to do', async () => {
    const side = await openSide({ python, shim: join(projectRoot(), 'py_worker', 'hub_data.py') });
    const write = (more: object) =>
      side.call(
        'write_split',
        {
          path: 'openai/gsm8k',
          name: 'main',
          split: 'train',
          revision: commit,
          rows: null,
          out: '',
          ...more,
        },
        z.any(),
      );
    const at = (path: string, revision = 'main') => side.call('commit_of', { path, revision }, z.string());
    try {
      await expect(at('acme/gated')).rejects.toMatchObject({
        message: 'the data set acme/gated is gated: its owner asks for consent on its page of the hub',
        fix: expect.stringContaining('HF_TOKEN'),
      });
      await expect(at('acme/none')).rejects.toThrow('the hub has no data set acme/none, or it is private');
      await expect(at('openai/gsm8k', 'v9')).rejects.toThrow("openai/gsm8k has no revision 'v9'");
      await expect(write({ name: null })).rejects.toMatchObject({
        message: 'the data set openai/gsm8k has several configurations: main, socratic',
        fix: 'say which: dataset_config: main',
      });
      await expect(write({ name: 'mian' })).rejects.toMatchObject({ fix: 'there are: main, socratic' });
      await expect(write({ split: 'validation' })).rejects.toMatchObject({
        message: "the data set openai/gsm8k has no split 'validation'",
        fix: 'there are: train, test',
      });
      const empty = join(folder, 'empty');
      mkdirSync(empty);
      await expect(write({ path: empty, name: null, revision: null })).rejects.toThrow('has no data files');
      await server.close();
      await expect(at('openai/gsm8k')).rejects.toMatchObject({
        type: 'unreachable',
        message: expect.stringMatching(/openai\/gsm8k is not here, and the hub cannot be reached: .*refused/),
      });
    } finally {
      await side.close();
      const again = await startHubServer({});
      again.publish(content(lines(examples)));
      server = again;
      process.env.HF_ENDPOINT = again.url;
    }
  });

  it('is taken as it was before where there is no network, else refused with HF_HUB_OFFLINE named', async () => {
    process.env.HF_HUB_OFFLINE = '1';
    const said: string[] = [];
    const place = { cacheDirectory, python, say: (line: string) => said.push(line) };
    try {
      const fetched = await fetchSplits([gsm8k, { path: 'acme/other', split: 'train' }], place).catch(
        (error: Error) => error,
      );
      expect(fetched).toMatchObject({
        exitCode: 3,
        message: 'the data set acme/other is not here, and the hub is not asked: HF_HUB_OFFLINE is set',
        fix: expect.stringContaining('go online once'),
      });
      const today = new Date().toISOString().slice(0, 10);
      expect(said[0]).toBe(`warning: the hub cannot be asked now: taking openai/gsm8k as it was on ${today}`);
      expect(said[1]).toContain(': 10 rows');
    } finally {
      delete process.env.HF_HUB_OFFLINE;
    }
  });
});

describe.skipIf(isMissing)('a run on data of the hub', () => {
  it('keeps their commit, and goes on with that one when the branch has moved', async () => {
    const ofHub = { dataset_name: 'openai/gsm8k', dataset_config: 'main', dataset_test_split: 'test' };
    const { dataset_test_name: _, ...small } = smallRun(folder, {
      method: 'sft',
      ...ofHub,
      worker: { python },
    });
    // The home whose cache holds what was fetched above.
    const run = await interruptedRun(folder, small, { home: folder, verb: 'optimStep', count: 4 });
    const moved = server.publish(content('{"prompt": "other", "completion": "x"}\n'));
    const { said } = await recordRun(folder, run.settings, { home: run.home, resume: true });
    expect(said).toContain('10 training examples, 4 held out');
    expect(readRecord(run.output, 'run.json').data).toEqual([
      { key: 'dataset_name', path: 'openai/gsm8k', name: 'main', split: 'train', revision: commit, rows: 10 },
      {
        key: 'dataset_test_name',
        path: 'openai/gsm8k',
        name: 'main',
        split: 'test',
        revision: commit,
        rows: 4,
      },
    ]);
    expect(moved).not.toBe(commit);
  });
});

describe('which data sets a configuration names', () => {
  it('is known by the ends of names; keys of the hub beside a file are refused', () => {
    const config = (more: string) =>
      parseConfig(
        `model_name_or_path: m\noutput_dir: o\nlearning_rate: 0.1\ndataset_name: ${more}`,
        'x.yaml',
      );
    expect(() => config('train.jsonl\ndataset_config: main')).toThrow(
      /dataset_config.*nothing, because dataset_name is a file \(train.jsonl\)/s,
    );
    expect(() => config('a/b\ndataset_streaming: true')).toThrow(/max_train_samples is not given/);
    expect(() => config('a/b\ndataset_test_split: test\ntest_size: 0.2')).toThrow(
      /dataset_test_split is given/,
    );
  });

  it('asks nothing where all are files', async () => {
    const text = 'model_name_or_path: m\noutput_dir: o\nlearning_rate: 0.1\ndataset_name: a.csv\n';
    const config = parseConfig(text, 'x.yaml');
    const place = { cacheDirectory: folder, python: '/nowhere' };
    expect(await fetchData(config, place)).toEqual({ config, sources: [] });
  });
});

function readRows(path = ''): unknown[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
}
