/** Sets that name a task, and suites, in a whole run, and in the configuration that it leaves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { callsOf, readRecord, recordRun, workFolder, writeRows } from '../support/recorded-run.ts';
import { smallRun } from '../support/small-run.ts';

const folder = workFolder();

describe('a run with tasks', () => {
  it('asks what each task says, whatever the data are like, and can be read again', async () => {
    const piqa = writeRows(folder, 'piqa.jsonl', [
      { goal: 'To cut', choices: ['ab', 'ba'], label: 1 },
      { goal: 'To dry', choices: ['b', 'aa'], label: 0 },
    ]);
    const trivia = writeRows(folder, 'trivia.jsonl', [
      { question: 'Who?', answer: 'Ab', aliases: ['ab', 'ba'] },
    ]);
    const settings = smallRun(folder, {
      method: 'sft',
      tms: {},
      eval: { sets: [{ task: 'piqa', path: piqa }] },
      retention: { suites: [{ name: 'triviaqa', path: trivia, max_new_tokens: 4, limit: 1 }] },
    });
    const { output, calls } = await recordRun(folder, settings);
    const { sets } = readRecord(output, 'evaluation/base-step-000000.json');
    expect(sets).toMatchObject([
      { name: 'piqa', items: { length: 2 } },
      { name: 'triviaqa', items: { length: 1 } },
    ]);
    const prompts = callsOf(calls, 'encode').flatMap(({ params }) =>
      params.examples.map(({ prompt }) => prompt),
    );
    expect(prompts).toEqual(
      expect.arrayContaining(['Question: To cut\nAnswer:', 'Question: To dry\nAnswer:']),
    );
    const written = readFileSync(join(output, 'config.resolved.yaml'), 'utf8');
    expect(parseConfig(written, 'config.resolved.yaml').eval.sets).toMatchObject([
      { task: 'piqa', path: piqa },
    ]);
  });

  it('asks WinoGrande in the chat template with each name in the question', async () => {
    const rows = [{ sentence: 'x _ y', option1: 'ab', option2: 'ba', answer: '1' }];
    const path = writeRows(folder, 'winogrande.jsonl', rows);
    const sets = [{ task: 'winogrande', path, as_chat: true }];
    const settings = smallRun(folder, { method: 'sft', tms: {}, retention: { sets } });
    const { calls } = await recordRun(folder, settings);
    const asked = callsOf(calls, 'encode').flatMap(({ params }) =>
      params.examples.map(({ prompt }) => prompt),
    );
    for (const content of ['x ab', 'x ba'])
      expect(asked).toContainEqual([expect.objectContaining({ content })]);
  });

  it('counts one of the two names of WinoGrande as right, not what stands behind both', async () => {
    const rows = ['ab', 'ba', 'abab'].flatMap(option1 =>
      [0, 1].map(label => ({ options: [`x ${option1}`, 'x b'], continuation: 'y.', label })),
    );
    const path = writeRows(folder, 'winogrande-partial.jsonl', rows);
    const settings = smallRun(folder, {
      method: 'sft',
      tms: {},
      retention: { sets: [{ task: 'winogrande', path }] },
    });
    const { output } = await recordRun(folder, settings);
    const { sets } = readRecord(output, 'evaluation', 'base-step-000000.json');
    const found = sets.find(({ name }: { name: string }) => name === 'winogrande');
    expect(found.accuracy).toBe(0.5); // each question stands there with either name as the right one
    for (const { answer } of found.items) expect(answer).toMatch(/^x (ab|ba|abab|b) y\.$/);
  });
});
