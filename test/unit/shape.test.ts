import { describe, expect, it } from 'vitest';
import { type ShapeOptions, shapeExample } from '../../src/data/shape.ts';

const plain: ShapeOptions = {
  columns: { prompt: null, completion: null, messages: null },
  as_chat: false,
  system_prompt: null,
};
const user = { role: 'user', content: '1 + 1 =' };
const assistant = { role: 'assistant', content: '2' };
const system = { role: 'system', content: 'Be brief.' };

describe('shapeExample', () => {
  it.each([
    [{ prompt: 'a', completion: 'b' }, 'prompt and completion as text', 'a', 'b'],
    [{ prompt: [user], completion: [assistant] }, 'prompt and completion as messages', [user], [assistant]],
    [{ messages: [system, user, assistant] }, 'messages', [system, user], [assistant]],
    [{ prompt: 'a', more: 1 }, 'prompt only, as text', 'a', null],
    [{ prompt: [user], completion: null }, 'prompt only, as messages', [user], null],
  ])('recognises %j', (record, shape, prompt, completion) => {
    expect(shapeExample(record, plain)).toEqual({ shape, example: { prompt, completion } });
  });

  it('maps columns and templates', () => {
    const columns = { prompt: 'Q: {question}', completion: 'answer', messages: null };
    const { example } = shapeExample({ question: 'x', answer: 'y', prompt: 'unused' }, { ...plain, columns });
    expect(example).toEqual({ prompt: 'Q: x', completion: 'y' });
  });

  it('makes text a chat when asked, with a system message where there is none', () => {
    const options = { ...plain, as_chat: true, system_prompt: 'Be brief.' };
    const { shape, example } = shapeExample({ prompt: '1 + 1 =', completion: '2' }, options);
    expect(shape).toBe('prompt and completion as text');
    expect(example).toEqual({ prompt: [system, user], completion: [assistant] });
    const own = { role: 'system', content: 'Own.' };
    expect(shapeExample({ messages: [own, user, assistant] }, options).example.prompt).toEqual([own, user]);
  });

  it.each([
    [{ question: 'x' }, /neither `prompt` nor `messages`; there are: question \(map them with columns/],
    [{ prompt: 'a', messages: [user, assistant] }, /both `messages` and `prompt`/],
    [{ prompt: 'a', completion: [assistant] }, /one of prompt and completion is text and the other messages/],
    [{ prompt: 'a', completion: 4 }, /completion is a number, not a text .* "\{completion\}"/],
    [{ messages: [user] }, /the last message is by "user"; the answer must be an assistant's/],
    [{ messages: [assistant] }, /one message only/],
    [{ messages: [] }, /messages is an empty list/],
    [{ messages: 'hi' }, /messages is a string/],
    [{ messages: [{ role: 'user', content: [] }, assistant] }, /messages\[0\] has no content as a text/],
    [{ messages: [user, { ...assistant, mood: 'glad' }] }, /messages\[1\] has "mood"; role, content, train,/],
  ])('refuses %j', (record, message) => {
    expect(() => shapeExample(record, plain)).toThrow(message);
  });

  it('accepts keys of a message that hold null, as Parquet writes them', () => {
    const { example } = shapeExample({ messages: [{ ...user, name: null }, assistant] }, plain);
    expect(example.prompt).toEqual([user]);
  });
});
