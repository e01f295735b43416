/** Self-training in rounds, checked against a second writing of it: what each round starts from, and what its visits learn. */
import { describe, expect, it } from 'vitest';
import { askedIn, type Learned, stepsOf } from '../support/recorded-calls.ts';
import {
  isThere,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { answerSeed, batchesOf, drawOf, type Example, gold, learned, textOf } from '../support/reference.ts';
import {
  examples,
  expectGradients,
  expectUnbroken,
  goldBatches,
  smallFacts,
  smallRun,
} from '../support/small-run.ts';

const folder = workFolder();

const rounds = (keys: Settings = {}, more: Settings = {}) =>
  recordRun(
    folder,
    smallRun(folder, {
      method: 'iterative',
      iterative: { max_new_tokens: 9, max_fallback_fraction: 1, ...keys },
      tms: {},
      ...more,
    }),
  );

/** What round `round` (from 2) must learn, from what the weights before it answered when they stood at step 9. */
function targetsOf(
  asked: ReturnType<typeof askedIn>,
  accepts: (example: Example, answer: string) => boolean,
): Learned[][] {
  const answerTo = (example: Example) => {
    const seed = answerSeed(7, 9, example, 0);
    const found = asked.find(one => one.seed === seed);
    if (found === undefined) throw new Error(`nobody asked ${example.prompt}`);
    return found;
  };
  return batchesOf(7, { count: 10, batch: 4, steps: 9 }).map(visits =>
    visits.map(visit => {
      const example = examples[visit.example] as Example;
      const mixture = { ...smallFacts, checkpoints: [9], visits: 30 };
      if (drawOf(mixture, visit, example) === null) return gold(example);
      const { prompt, answer, isFinished } = answerTo(example);
      const isUsable = isFinished && answer.length > 1 && accepts(example, textOf(answer));
      return isUsable ? learned(prompt, answer) : gold(example);
    }),
  );
}

describe('a run of method iterative', () => {
  it('fine-tunes, then trains fresh models on the answers of the round before, mixed with gold', async () => {
    const run = await rounds({ rounds: 3 });
    const steps = stepsOf(run.calls);
    const [first, second, third] = [0, 9, 18].map(start => steps.slice(start, start + 9));
    const base = run.calls[0]?.weights ?? '';
    for (const round of [first, second, third]) expectUnbroken(round ?? [], base);
    expectGradients(first ?? [], goldBatches(smallFacts, 9));
    const asked = (round: typeof first) =>
      askedIn(run.calls).filter(({ weights }) => weights === round?.at(-1)?.after);
    expectGradients(
      second ?? [],
      targetsOf(asked(first), () => true),
    );
    expectGradients(
      third ?? [],
      targetsOf(asked(second), () => true),
    );
    for (const name of ['round-1', 'round-2', 'round-3'])
      expect(isThere(run.output, 'models', name)).toBe(true);
    const visits = readRows(run.output, 'curriculum.jsonl');
    expect(
      visits.map(({ training, answers }) => [training, answers]).filter(([, by]) => by !== null),
    ).toEqual(
      expect.arrayContaining([
        ['round-2', 'round-1'],
        ['round-3', 'round-2'],
      ]),
    );
    const { trainings } = readRecord(run.output, 'plan.json');
    expect(Object.keys(trainings)).toEqual(['round-1', 'round-2', 'round-3']);
    expect(trainings['round-3']).toMatchObject({
      role: 'method',
      needs: ['round-1', 'round-2'],
      startsFrom: 'base',
    });
  });

  it('goes on from the round before where asked, with a fresh optimiser', async () => {
    const run = await rounds({ start: 'previous' });
    const steps = stepsOf(run.calls);
    expect(steps[9]?.before).toBe(steps[8]?.after);
    expect(steps[9]?.after).not.toBe(steps[8]?.after);
  });

  it('keeps only answers that a scorer accepts: others are gold', async () => {
    const run = await rounds({ accept: { scorer: 'exact_match' }, max_fallback_fraction: 0.7 }); // of faults alone
    const steps = stepsOf(run.calls).slice(9);
    const accepted = (example: Example, answer: string) => answer.trim() === example.completion;
    expectGradients(steps, targetsOf(askedIn(run.calls), accepted));
    const sources = readRows(run.output, 'curriculum.jsonl').map(({ source }) => source);
    expect(sources).toContain('gold-for-rejected');
  });
});
