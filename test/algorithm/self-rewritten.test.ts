/** Gold in the base's own words: what the base is asked, what is learned of its answers, and where gold stays. */
import { describe, expect, it } from 'vitest';
import { askedIn, stepsOf } from '../support/recorded-calls.ts';
import { interruptedRun, readRows, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { answerSeed, batchesOf, type Example, gold, idsOf, learned, textOf } from '../support/reference.ts';
import { examples, expectGradients, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const frame = '{answer}? {prompt}';
const settings = (keys: Settings = {}) =>
  smallRun(folder, {
    method: 'self-rewritten',
    self_rewritten: { frame, max_new_tokens: 9, max_fallback_fraction: 1, banned: ['Q', 'a'], ...keys },
    tms: {},
  });

describe('a run of method self-rewritten', () => {
  it('learns what the base says with gold before its eyes, behind the plain prompt, and gold where that will not do', async () => {
    const run = await recordRun(folder, settings());
    const base = run.calls[0]?.weights;
    const asked = askedIn(run.calls).filter(({ weights }) => weights === base);
    const answerTo = (example: Example) => {
      const seed = answerSeed(7, 0, example, 0);
      const found = asked.find(one => one.seed === seed);
      expect(found?.prompt).toEqual(idsOf(`${example.completion}? ${example.prompt}`));
      return found as NonNullable<typeof found>;
    };
    const targetOf = (example: Example) => {
      const { answer, isFinished } = answerTo(example);
      if (!isFinished || answer.length < 2) return { source: 'gold-for-fault', target: gold(example) };
      if (/[qa]/i.test(textOf(answer))) return { source: 'gold-for-rejected', target: gold(example) };
      return { source: 'answer', target: learned(idsOf(example.prompt), answer) };
    };
    const visits = batchesOf(7, { count: 10, batch: 4, steps: 9 });
    const expected = visits.map(batch => batch.map(({ example }) => targetOf(examples[example] as Example)));
    expectGradients(
      stepsOf(run.calls),
      expected.map(batch => batch.map(({ target }) => target)),
    );
    const sources = readRows(run.output, 'curriculum.jsonl').map(({ source }) =>
      source.replace(/(unfinished|empty)$/, 'fault'),
    );
    expect(sources).toEqual(expected.flat().map(({ source }) => source));
    expect(new Set(sources).size).toBeGreaterThan(1);
  });

  it('keeps gold where a scorer does not accept a rewriting', async () => {
    const run = await recordRun(folder, settings({ banned: [], accept: { scorer: 'exact_match' } }));
    const sources = readRows(run.output, 'curriculum.jsonl').map(({ source }) => source);
    expect(sources).toContain('gold-for-rejected');
  });

  it('resumes to the same targets', async () => {
    const whole = await recordRun(folder, settings());
    const stopped = await interruptedRun(folder, settings(), { verb: 'generate', count: 1 });
    const resumed = await recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
    for (const file of ['curriculum.jsonl', 'metrics.jsonl'])
      expect(readRows(resumed.output, file)).toEqual(readRows(whole.output, file));
  });

  it('refuses a frame whose prompts leave no room for answers', async () => {
    await expect(recordRun(folder, settings({ frame: `${'x'.repeat(500)}${frame}` }))).rejects.toThrow(
      /a prompt of self-rewritten with its frame has 5\d\d tokens, and answers may have 9: the model has 512 positions/,
    );
  });
});
