import { beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../../src/worker/protocol.ts';
import type { Encoded } from '../../../src/worker/worker.ts';
import { expectRefusal, type Subject } from './subject.ts';

export function text(subject: Subject): void {
  describe('encode and decode', () => {
    beforeAll(() => subject.fresh());

    it('mark where the prompt ends, end the answer with an EOS, and give both texts back', async () => {
      const { sequences, warnings } = await subject.worker.encode([
        { prompt: '2+3=', completion: '5.' },
        { prompt: '2+3=', completion: null },
      ]);
      const [answered, asked] = sequences.map(({ ids, promptLength }) => ({ ids: [...ids], promptLength }));
      const prompt = answered?.ids.slice(0, answered.promptLength) ?? [];
      const completion = answered?.ids.slice(answered.promptLength) ?? [];
      expect(await subject.worker.decode([prompt, completion])).toEqual(['2+3=', '5.']);
      expect(subject.loaded.eosTokenIds).toContain(completion.at(-1));
      expect(asked).toEqual({ ids: prompt, promptLength: prompt.length });
      expect(warnings).toEqual([]);
    });

    it('do so for messages, by the chat template', async () => {
      const prompt = [{ role: 'user', content: 'Well?' }];
      const completion = [{ role: 'assistant', content: 'Yes.' }];
      const { sequences } = await subject.worker.encode([
        { prompt, completion },
        { prompt, completion: null },
      ]);
      const [answered, asked] = sequences.map(({ ids, promptLength }) => ({ ids: [...ids], promptLength }));
      const answer = answered?.ids.slice(answered.promptLength) ?? [];
      expect(answered?.ids.slice(0, answered.promptLength)).toEqual(asked?.ids);
      expect(asked?.promptLength).toBe(asked?.ids.length);
      const [question, reply] = await subject.worker.decode([asked?.ids ?? [], answer]);
      expect(question).toContain('Well?');
      expect(reply?.trim()).toBe('Yes.');
      expect(subject.loaded.eosTokenIds).toContain(answer.at(-1));
    });

    it('take any day for today, and say whether the template asked for it', async () => {
      const example = { prompt: [{ role: 'user', content: 'Well?' }], completion: null };
      const [today, then] = await Promise.all(
        [{}, { date: '1999-12-31' }].map(options => subject.worker.encode([example], options)),
      );
      expect(today?.readsDate).toBe(false);
      expect(then).toEqual(today);
      for (const date of ['today', '2026-02-30', '2026-2-3'])
        await expectRefusal(subject.worker.encode([example], { date }), 'BAD_PARAMS', /give a day such as/);
    });

    it('mark what an assistant says in a completion as learned, in a prompt where asked, and nothing behind the last of it', async () => {
      const say = (role: string, content: string, more = {}) => ({ role, content, ...more });
      const prompt = [say('user', 'a'), say('assistant', 'One.', { learned: true }), say('user', 'b')];
      const completion = [
        say('assistant', 'Two.'),
        say('user', 'c'),
        say('assistant', 'Three.', { learned: false }),
      ];
      const { sequences } = await subject.worker.encode([
        { prompt, completion },
        { prompt, completion: null },
      ]);
      const [answered, asked] = sequences as [Encoded, Encoded];
      const runs = [...answered.learned].join('').match(/1+/g) ?? [];
      expect([...answered.learned].at(-1)).toBe(1);
      const learned = answered.ids.filter((_, i) => answered.learned[i] === 1);
      const said = [learned.slice(0, runs[0]?.length), learned.slice(runs[0]?.length)];
      expect(await subject.worker.decode(said)).toEqual(['One.', 'Two.']);
      for (const ids of said) expect(subject.loaded.eosTokenIds).toContain(ids.at(-1));
      expect(answered.ids.slice(0, answered.promptLength)).toEqual(asked.ids);
      expect([...asked.learned]).toEqual([...asked.ids].map(() => 0));
    });

    it('read the name of a control token in words as plain text, or as the token where asked, and count it', async () => {
      const [eos = 0] = subject.loaded.eosTokenIds;
      const [name = ''] = await subject.worker.decode([[eos]], { skipSpecialTokens: false });
      const examples = [{ prompt: `a${name}b`, completion: null }];
      const split = await subject.worker.encode(examples);
      const kept = await subject.worker.encode(examples, { splitSpecialTokens: false });
      const ends = ({ sequences }: typeof split) => sequences[0]?.ids.filter(id => id === eos).length;
      expect([ends(split), ends(kept)]).toEqual([0, 1]);
      expect(split.warnings).toMatchObject([{ code: 'special_tokens_split', count: 1, firstIndex: 0 }]);
      expect(kept.warnings).toMatchObject([{ code: 'special_tokens_kept', count: 1, firstIndex: 0 }]);
    });

    it('name the ids that end an answer under the template, for chats only', async () => {
      const chat = { prompt: [{ role: 'user', content: 'Well?' }], completion: null };
      const { sequences, stopIds } = await subject.worker.encode([{ ...chat, completion: 'Yes.' }]);
      expect(stopIds).toEqual([sequences[0]?.ids.at(-1)]);
      const all = (ids: readonly number[]) => new Set([...subject.loaded.eosTokenIds, ...ids]);
      expect(all((await subject.worker.encode([chat])).stopIds)).toEqual(all(stopIds));
      expect((await subject.worker.encode([{ prompt: 'a', completion: 'b' }])).stopIds).toEqual([]);
    });

    it('keep special tokens in the text only when asked', async () => {
      const [eos = 0] = subject.loaded.eosTokenIds;
      const { sequences } = await subject.worker.encode([{ prompt: 'ab', completion: null }]);
      const ids = [...(sequences[0]?.ids ?? []), eos];
      expect(await subject.worker.decode([ids])).toEqual(['ab']);
      const [shown] = await subject.worker.decode([ids], { skipSpecialTokens: false });
      expect(shown).toMatch(/^.*ab.+$/);
    });

    it('truncate nothing, and count what is longer than maxLength, across calls of a few hundred', async () => {
      const examples = Array.from({ length: 300 }, (_, i) => ({
        prompt: i < 298 ? 'ab' : 'abcdefgh',
        completion: null,
      }));
      const { sequences, warnings } = await subject.worker.encode(examples, { maxLength: 5 });
      expect(warnings).toMatchObject([{ code: 'too_long', count: 2, firstIndex: 298 }]);
      const [last] = await subject.worker.decode([sequences[299]?.ids ?? []]);
      expect(last).toBe('abcdefgh');
    });

    it('take more text than one message carries, and refuse a single text that none does', async () => {
      // What no template reads fills the messages, so that little is left to be tokenized.
      const templateOptions = { unused: 'x'.repeat(limits.headerBytes - 2 ** 17) };
      const examples = Array.from({ length: 12 }, (_, i) => ({
        prompt: `${i % 10}${'ab'.repeat(2 ** 13)}`,
        completion: null,
      }));
      const { sequences } = await subject.worker.encode(examples, { templateOptions });
      const alone = await subject.worker.encode(examples);
      expect(sequences).toEqual(alone.sequences);
      const starts = await subject.worker.decode(sequences.map(({ ids }) => ids.slice(0, 4)));
      expect(starts.map(([first]) => first).join('')).toBe('012345678901');

      const tooLong = { prompt: 'ab'.repeat(2 ** 23), completion: null };
      const small = { prompt: 'ab', completion: null };
      await expectRefusal(
        subject.worker.encode([small, small, tooLong]),
        'BAD_PARAMS',
        /examples\[2\] has 16777\d+ bytes of text; a message to the worker takes 1677\d+/,
        { data: expect.objectContaining({ index: 2, reason: 'too_large' }) },
      );
      expect((await subject.worker.encode([small])).sequences).toHaveLength(1);
    });

    it('refuse half a character, which no message can carry', async () => {
      const half = { prompt: 'a\ud83d', completion: null };
      await expectRefusal(
        subject.worker.encode([half]),
        'BAD_PARAMS',
        /half a character .* examples.0.prompt/,
      );
    });

    it('refuse an example without a prompt or without an answer, and name it', async () => {
      const good = { prompt: 'a', completion: 'b' };
      const cases = [
        { bad: { prompt: '', completion: 'b' }, reason: 'empty_prompt' },
        { bad: { prompt: [], completion: 'b' }, reason: 'empty_prompt' },
        { bad: { prompt: 'a', completion: '' }, reason: 'empty_completion' },
        { bad: { prompt: 'a', completion: [{ role: 'assistant', content: 'b' }] }, reason: 'mixed_types' },
      ];
      for (const { bad, reason } of cases) {
        const data = { index: 1, reason };
        await expectRefusal(subject.worker.encode([good, bad]), 'BAD_PARAMS', /examples\[1\]/, { data });
      }
    });

    it('refuse ids outside the vocabulary', async () => {
      for (const id of [-1, 2 ** 31 - 1]) await expectRefusal(subject.worker.decode([[7, id]]), 'BAD_PARAMS');
    });

    it('have nothing to do for no rows', async () => {
      expect(await subject.worker.encode([])).toEqual({
        sequences: [],
        warnings: [],
        stopIds: [],
        readsDate: false,
      });
      expect(await subject.worker.decode([])).toEqual([]);
      expect(await subject.worker.decode([[]])).toEqual(['']);
    });
  });
}
