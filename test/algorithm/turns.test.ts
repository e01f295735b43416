/** Chats of several turns: which tokens a run learns, and what an answer of the model takes the place of. */
import { describe, expect, it } from 'vitest';
import {
  callsOf,
  readRecord,
  readRows,
  recordRun,
  stepsOf,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { endId, idsOf } from '../support/reference.ts';

const folder = workFolder();
const startId = 3;
const say = (role: string, content: string, more = {}) => ({ role, content, ...more });
const chat = (name: string, first = {}) => ({
  messages: [
    say('user', `say ${name}`),
    say('assistant', 'ab', first),
    say('user', 'more'),
    say('assistant', 'ba'),
  ],
});

/** ChatML by hand: the header and the line break behind a turn are read, the words with their end learned where `mark` is 1. */
function turn(role: string, content: string, mark: 0 | 1): { ids: number[]; weights: number[] } {
  const [header, said, behind] = [
    [startId, ...idsOf(`${role}\n`).map(newline)],
    [...idsOf(content), endId],
    [5],
  ];
  return {
    ids: [...header, ...said, ...behind],
    weights: [...header.map(() => 0), ...said.map(() => mark), 0],
  };
}
const newline = (id: number) => (id === '\n'.charCodeAt(0) - 32 + 6 ? 5 : id);

/** The line break behind the last turn is not there. */
function sequence(...turns: { ids: number[]; weights: number[] }[]) {
  return {
    ids: turns.flatMap(({ ids }) => ids).slice(0, -1),
    weights: turns.flatMap(({ weights }) => weights).slice(0, -1),
  };
}

const whole = (name: string, first: 0 | 1) =>
  sequence(
    turn('user', `say ${name}`, 0),
    turn('assistant', 'ab', first),
    turn('user', 'more', 0),
    turn('assistant', 'ba', 1),
  );

async function run(rows: object[], more: object) {
  const data = writeRows(folder, `chats-${JSON.stringify(more).length}-${rows.length}.jsonl`, rows);
  return recordRun(folder, {
    model_name_or_path: 'toy:1',
    dataset_name: data,
    dataset_test_name: data,
    max_length: 128,
    num_train_epochs: 1,
    per_device_train_batch_size: 1,
    pld: { size: 4, splits: ['test'] },
    ...more,
  });
}

const byPrompt = (run: Awaited<ReturnType<typeof recordRun>>) =>
  stepsOf(run.calls)
    .flatMap(({ sequences }) => sequences)
    .toSorted((a, b) => (String(a.ids) < String(b.ids) ? -1 : 1));

describe('a chat of several turns', () => {
  const rows = [chat('x'), chat('y')];

  it('teaches its last answer, and that others are only read is said', async () => {
    const found = await run(rows, { method: 'sft' });
    expect(byPrompt(found)).toEqual([whole('x', 0), whole('y', 0)]);
    expect(found.said.join('\n')).toContain(
      '2 answers a chat, only the last is learned (assistant_only_loss: true learns all)',
    );
  });

  it('teaches every answer where asked, and PLD is of what is learned', async () => {
    const found = await run(rows, { method: 'sft', assistant_only_loss: true });
    expect(byPrompt(found)).toEqual([whole('x', 1), whole('y', 1)]);
    expect(found.said.join('\n')).not.toContain('answers a chat');
    const { pld } = readRecord(found.output, 'evaluation/base-step-000000.json');
    // Two chats of two answers, each of two letters and an end.
    expect(pld.test.tokens).toBe(12);
    expect(pld.test.bitsPerByte).toBeCloseTo((pld.test.nllPerSequence * 2) / Math.LN2 / 8, 10);
  });

  it('teaches what its messages are marked with, in another token file than without', async () => {
    const marked = [chat('x', { train: true }), chat('y', { weight: 0 })];
    const found = await run(marked, { method: 'sft' });
    expect(byPrompt(found)).toEqual([whole('x', 1), whole('y', 0)]);
    const again = await recordRun(
      folder,
      { ...readSettings(found), dataset_name: writeRows(folder, 'plain.jsonl', rows) },
      { home: found.home },
    );
    expect(byPrompt(again)).toEqual([whole('x', 0), whole('y', 0)]);
  });

  it('has its last answer answered by the model: that answer alone is then learned, gold teaches every answer', async () => {
    const settings = {
      assistant_only_loss: true,
      num_train_epochs: 4,
      tms: { num_checkpoints: 1, max_new_tokens: 6, filters: 'none' },
    };
    const found = await run(rows, settings);
    const visits = readRows(found.output, 'curriculum.jsonl');
    const steps = stepsOf(found.calls).slice(-visits.length);
    const sources = new Set(visits.map(({ source }) => source));
    expect(sources).toEqual(new Set(['gold', 'unfinished-answer']));
    const answers = new Map(
      readRows(found.output, 'answers/student/sft-step-000008.jsonl').map(({ example, ids }) => [
        example,
        ids,
      ]),
    );
    for (const [i, { source, example }] of visits.entries()) {
      const name = 'xy'[example] as string;
      const prompt = whole(name, 0).ids.slice(0, -3);
      const answer = answers.get(example) ?? [];
      const expected =
        source === 'gold'
          ? whole(name, 1)
          : { ids: [...prompt, ...answer], weights: [...prompt.map(() => 0), ...answer.map(() => 1)] };
      expect(steps[i]?.sequences).toEqual([expected]);
    }
    for (const { tensors } of callsOf(found.calls, 'generate'))
      expect([...(tensors.ids?.data ?? [])].slice(-3)).toEqual(idsOf('ant\n').slice(1).map(newline));
  });
});

function readSettings({ output }: { output: string }) {
  const settings = readRecord(output, 'plan.json');
  return {
    model_name_or_path: 'toy:1',
    dataset_test_name: `${folder}/plain.jsonl`,
    max_length: 128,
    num_train_epochs: 1,
    per_device_train_batch_size: 1,
    method: settings.method,
    pld: { size: 4, splits: ['test'] },
  };
}
