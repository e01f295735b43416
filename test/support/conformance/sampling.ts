import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Progress } from '../../../src/worker/protocol.ts';
import { tensorOf } from '../../../src/worker/tensors.ts';
import { type Answer, completionOnly, type GenerateOptions } from '../../../src/worker/worker.ts';
import { argmax, expectClose, expectRefusal, nextProbabilities, type Subject, sequences } from './subject.ts';

const prompts = [...sequences, [7], [7, 20, 33]];
const seeds = [1, 2, 3, 4, 5, 2 ** 32 - 1];
const maxNewTokens = 12;

export function sampling(subject: Subject): void {
  const generate = (rows: readonly (readonly number[])[], options: Partial<GenerateOptions> = {}) =>
    subject.worker.generate(rows, { maxNewTokens, stopIds: [], ...options });
  const one = async (options: Partial<GenerateOptions>) => {
    const [answer] = await generate([[7, 20, 33]], options);
    return answer as Answer;
  };
  /** First tokens of many answers to one prompt. */
  const firstTokens = async (count: number, options: Partial<GenerateOptions>) => {
    const rows = Array.from({ length: count }, () => [7, 20, 33]);
    return (await generate(rows, { maxNewTokens: 1, ...options })).map(({ ids }) => ids[0] ?? -1);
  };
  /** Where an answer must end, by looking at it one token after another: ids up to there, and letters before the stop text. */
  const endOf = async ({ ids }: Answer, stopTexts: readonly string[]) => {
    const starts = Array.from(ids, (_, i) => ids.subarray(0, i + 1));
    const texts = await subject.worker.decode(starts);
    const last = texts.findIndex(text => stopTexts.some(stop => text.includes(stop)));
    if (last === -1) return null;
    const text = texts[last] ?? '';
    const before = stopTexts.filter(stop => text.includes(stop)).map(stop => text.indexOf(stop));
    return { ids: last + 1, text: Math.min(...before) };
  };
  const nextOfThree = () => nextProbabilities(subject, [7, 20, 33]);

  describe('generate', () => {
    beforeAll(() => subject.fresh());

    it('gives the same answers for the same seeds', async () => {
      expect(await generate(prompts, { seeds })).toEqual(await generate(prompts, { seeds }));
    });

    it('gives each prompt and seed its answer whatever the order, the company and the rows at a time', async () => {
      const answers = await generate(prompts, { seeds });
      const backwards = await generate(prompts.toReversed(), { seeds: seeds.toReversed() });
      const few = await generate(prompts, { seeds, maxRows: 2 });
      const alone = await Promise.all(
        prompts.map(async (prompt, i) => (await generate([prompt], { seeds: [seeds[i] ?? 0] }))[0]),
      );
      const bits = subject.loaded.strictSampling
        ? (answer: unknown) => answer
        : (answer: unknown) => ids(answer);
      expect(backwards.toReversed().map(bits)).toEqual(answers.map(bits));
      expect(few.map(bits)).toEqual(answers.map(bits));
      expect(alone.map(bits)).toEqual(answers.map(bits));
    });

    it('gives other answers for other seeds', async () => {
      const rows = seeds.map(() => [7, 20, 33]);
      const answers = await generate(rows, { seeds });
      expect(new Set(answers.map(answer => answer.ids.join())).size).toBe(seeds.length);
    });

    it('without seeds takes the number of the row', async () => {
      const answers = await generate(prompts);
      expect(answers).toEqual(await generate(prompts, { seeds: [0, 1, 2, 3, 4, 5] }));
    });

    it('at temperature 0 takes the most likely token every time', async () => {
      const { ids: greedy } = await one({ temperature: 0, maxNewTokens: 4 });
      const expected: number[] = [];
      while (expected.length < 4)
        expected.push(argmax(await nextProbabilities(subject, [7, 20, 33, ...expected])));
      expect([...greedy]).toEqual(expected);
      for (const options of [{ topK: 1 }, { topP: 1e-6 }])
        expect([...(await one({ maxNewTokens: 4, ...options })).ids]).toEqual(expected);
    });

    it('draws tokens as often as the model says, bent by the temperature', async () => {
      const count = 2000;
      const drawn = await firstTokens(count, { temperature: 0.7 });
      const powers = (await nextOfThree()).map(p => p ** (1 / 0.7));
      const total = powers.reduce((sum, power) => sum + power);
      for (const [id, power] of powers.entries()) {
        const expected = power / total;
        const found = drawn.filter(token => token === id).length / count;
        expect(Math.abs(found - expected)).toBeLessThan(5 * Math.sqrt(expected / count) + 1 / count);
      }
    });

    it('top-k draws from the k most likely tokens only, and from all of them', async () => {
      const probabilities = await nextOfThree();
      const best = [...probabilities.keys()].sort(
        (a, b) => (probabilities[b] ?? 0) - (probabilities[a] ?? 0),
      );
      const drawn = await firstTokens(200, { topK: 3 });
      expect(new Set(drawn)).toEqual(new Set(best.slice(0, 3)));
    });

    it('top-p draws from the fewest tokens that reach p, and from all of them', async () => {
      const probabilities = await nextOfThree();
      const best = [...probabilities.keys()].sort(
        (a, b) => (probabilities[b] ?? 0) - (probabilities[a] ?? 0),
      );
      const firstTwo = (probabilities[best[0] ?? 0] ?? 0) + (probabilities[best[1] ?? 0] ?? 0);
      const drawn = await firstTokens(200, { topP: firstTwo * 1.001 });
      expect(new Set(drawn)).toEqual(new Set(best.slice(0, 3)));
    });

    it('reports the log-probabilities of forward, whatever it sampled with', async () => {
      const answers = await generate(prompts, { seeds, temperature: 0.5, topK: 20 });
      const whole = prompts.map((prompt, i) => [...prompt, ...(answers[i]?.ids ?? [])]);
      const { logprobs } = await subject.worker.forward(whole);
      for (const [i, prompt] of prompts.entries())
        expectClose([...(answers[i]?.logprobs ?? [])], [...(logprobs[i] ?? [])].slice(prompt.length), 1e-4);
    });

    it('ends with a stop id, which belongs to the answer', async () => {
      const whole = await one({ seeds: [11] });
      expect(whole).toMatchObject({ finishReason: 'length' });
      expect(whole.ids.length).toBe(maxNewTokens);
      const stop = whole.ids[5] ?? 0;
      const end = whole.ids.indexOf(stop) + 1;
      const stopped = await one({ seeds: [11], stopIds: [subject.loaded.vocabSize - 1, stop] });
      expect([...stopped.ids]).toEqual([...whole.ids.subarray(0, end)]);
      expect([...stopped.said]).toEqual([...whole.ids.subarray(0, end - 1)]);
      expect(stopped.finishReason).toBe('stop');
    });

    it('ends once its text holds a stop text, in any batch, and tells what it said before', async () => {
      const whole = await generate(prompts, { seeds });
      const texts = await subject.worker.decode(whole.map(answer => answer.ids));
      const stopTexts = [texts[0]?.slice(3, 5) ?? '', texts[1]?.slice(6, 7) ?? '', 'never said'];
      const stopped = await generate(prompts, { seeds, stopTexts });
      const ends = await Promise.all(whole.map(answer => endOf(answer, stopTexts)));
      expect(ends.filter(end => end !== null).length).toBeGreaterThanOrEqual(2);
      expect(stopped.map(({ ids }) => [...ids])).toEqual(
        whole.map(({ ids }, i) => [...ids.subarray(0, ends[i]?.ids)]),
      );
      expect(stopped.map(({ finishReason }) => finishReason)).toEqual(
        ends.map(end => (end === null ? 'length' : 'stop_text')),
      );
      const said = await subject.worker.decode(stopped.map(answer => answer.said));
      expect(said).toEqual(texts.map((text, i) => text.slice(0, ends[i]?.text)));
      const few = await generate(prompts, { seeds, stopTexts, maxRows: 2 });
      expect(few.map(ids)).toEqual(stopped.map(ids));
    });

    it('a stop text of the prompt does not count, and one that the very last token completes does', async () => {
      const whole = await one({ seeds: [11] });
      const [asked, text = ''] = await subject.worker.decode([[7, 20, 33], whole.ids]);
      expect(await one({ seeds: [11], stopTexts: [`${asked}${text.slice(0, 1)}`] })).toEqual(whole);
      const stopTexts = [text.slice(0, 4)];
      const stopped = await one({
        seeds: [11],
        stopTexts,
        maxNewTokens: (await endOf(whole, stopTexts))?.ids ?? 0,
      });
      expect(stopped.finishReason).toBe('stop_text');
      expect(await subject.worker.decode([stopped.said])).toEqual(['']);
    });

    it('a stop id that comes as the very last token counts as a stop', async () => {
      const whole = await one({ seeds: [11] });
      const end = whole.ids.indexOf(whole.ids[5] ?? 0) + 1;
      const stopped = await one({ seeds: [11], stopIds: [whole.ids[5] ?? 0], maxNewTokens: end });
      expect(stopped.finishReason).toBe('stop');
    });

    it('tells how far it is: never back, and all at the end', async () => {
      const seen: Progress[] = [];
      const answers = await generate(prompts, { seeds, onProgress: progress => seen.push(progress) });
      const tokens = answers.reduce((sum, answer) => sum + answer.ids.length, 0);
      expect(seen.at(-1)).toEqual({ done: prompts.length, total: prompts.length, tokens });
      for (const [i, { done, tokens: sampled }] of seen.slice(1).entries()) {
        expect(done).toBeGreaterThanOrEqual(seen[i]?.done ?? 0);
        expect(sampled).toBeGreaterThanOrEqual(seen[i]?.tokens ?? 0);
      }
    });

    it('hands answers out in parts, each once, and the same as in one reply', async () => {
      const many = Array.from({ length: 600 }, (_, i) => [7 + (i % 3), 20]);
      const parts: (readonly [number, Answer])[][] = [];
      const options = { maxNewTokens: 2, stopIds: [], maxRows: 50 };
      await subject.worker.generateParts(many, options, part => void parts.push([...part]));
      expect(parts.length).toBeGreaterThan(1);
      const places = parts.flat().map(([place]) => place);
      expect(places.toSorted((a, b) => a - b)).toEqual([...many.keys()]);
      const whole = await generate(many, options);
      for (const [place, answer] of parts.flat()) expect(answer).toEqual(whole[place]);
    });

    it('hands out what is finished when it is cancelled on the way', async () => {
      const controller = new AbortController();
      const many = Array.from({ length: 2000 }, () => [7, 20]);
      const found = new Map<number, Answer>();
      const options = { maxNewTokens: 20, stopIds: [], maxRows: 20, signal: controller.signal };
      const onProgress = ({ done }: Progress) => {
        if (done >= 40) controller.abort();
      };
      const asked = subject.worker.generateParts(many, { ...options, onProgress }, part => {
        for (const [place, answer] of part) found.set(place, answer);
      });
      await expectRefusal(asked, 'CANCELLED');
      expect(found.size).toBeGreaterThanOrEqual(40);
      expect(found.size).toBeLessThan(many.length);
      const [place, answer] = [...found].at(-1) ?? [0, undefined];
      const [again] = await generate([[7, 20]], { seeds: [place], maxNewTokens: 20 });
      expect(answer).toEqual(again);
    });

    it('ends with what its taker of parts throws', async () => {
      const full = new Error('no room');
      const asked = subject.worker.generateParts([[7]], { maxNewTokens: 1 }, () => {
        throw full;
      });
      await expect(asked).rejects.toBe(full);
    });

    it('has nothing to do for no prompts', async () => {
      expect(await generate([])).toEqual([]);
    });

    it('refuses what cannot be answered', async () => {
      const { vocabSize, maxPositions } = subject.loaded;
      await expectRefusal(generate([[7], []]), 'BAD_PARAMS', /prompt 1 is empty/, { data: { row: 1 } });
      await expectRefusal(generate([[7, vocabSize]]), 'BAD_PARAMS', /vocabulary/);
      await expectRefusal(generate([[7]], { stopIds: [vocabSize] }), 'BAD_PARAMS', /vocabulary/);
      await expectRefusal(generate([[7], [8]], { seeds: [1] }), 'BAD_PARAMS', /seed/);
      await expectRefusal(generate([[7]], { maxNewTokens: 0 }), 'BAD_PARAMS', /maxNewTokens/);
      await expectRefusal(generate([[7]], { temperature: -1 }), 'BAD_PARAMS', /temperature/);
      await expectRefusal(generate([[7]], { topP: 0 }), 'BAD_PARAMS', /topP/);
      if (maxPositions === null) return;
      const [answer] = await generate([[7]], { maxNewTokens: maxPositions - 1 });
      expect(answer?.ids.length).toBe(maxPositions - 1);
      await expectRefusal(generate([[7]], { maxNewTokens: maxPositions }), 'BAD_PARAMS', /positions/);
    });

    it('refuses keys that it does not know', async () => {
      const settings = {
        maxNewTokens: 1,
        temperature: 1,
        topP: 1,
        topK: 0,
        stopIds: [],
        stopTexts: [],
        maxRows: null,
      };
      const tensors = {
        ids: tensorOf('i32', [7]),
        offsets: tensorOf('i32', [0, 1]),
        seeds: tensorOf('u32', [0]),
      };
      const call = (params: object) => subject.channel.call('generate', params as never, tensors);
      expect((await call(settings)).result).toMatchObject({ newTokens: 1 });
      await expectRefusal(call({ ...settings, top_p: 0.5 }), 'BAD_PARAMS', /top_p/);
      await expectRefusal(call({ ...settings, stopTexts: [''] }), 'BAD_PARAMS', /stopTexts/);
    });
  });
}

/** What was taught comes back in answers. */
export function learning(subject: Subject): void {
  describe('a model that has learnt', () => {
    beforeEach(() => subject.fresh());

    it('says what it was taught, ends by itself, and goes on where its EOS is no stop id', async () => {
      const { sequences: encoded } = await subject.worker.encode([{ prompt: 'Who?', completion: 'Me, tms' }]);
      const lesson = encoded.map(completionOnly);
      for (let i = 0, loss = 1; i < 400 && loss > 0.05; i++) {
        const gradients = subject.worker.forwardBackward(lesson);
        await subject.worker.optimStep({ adamw: { learningRate: 0.02 } });
        loss = (await gradients).loss;
      }
      const { sequences: asked } = await subject.worker.encode([{ prompt: 'Who?', completion: null }]);
      const rows = asked.map(sequence => sequence.ids);
      const [answer] = await subject.worker.generate(rows, { maxNewTokens: 20, temperature: 0 });
      expect(await subject.worker.decode([answer?.ids ?? []])).toEqual(['Me, tms']);
      expect(answer?.finishReason).toBe('stop');
      expect(subject.loaded.eosTokenIds).toContain(answer?.ids.at(-1));
      const [endless] = await subject.worker.generate(rows, {
        maxNewTokens: 20,
        temperature: 0,
        stopIds: [],
      });
      expect(endless?.ids.length).toBe(20);
      expect(endless?.ids.subarray(0, answer?.ids.length)).toEqual(answer?.ids);
    });
  });
}

function ids(answer: unknown): number[] {
  return [...(answer as Answer).ids];
}
