import { describe, expect, it } from 'vitest';
import { exampleDigest, learnedKey, learnedParts } from '../../src/data/example.ts';
import { parseJson } from '../../src/data/json.ts';
import { type ShapeOptions, shapeExample } from '../../src/data/shape.ts';
import type { DataRecord } from '../../src/data/template.ts';

const plain: ShapeOptions = {
  columns: { prompt: null, completion: null, messages: null },
  as_chat: false,
  system_prompt: null,
};
const user = (content: unknown, more: object = {}) => ({ role: 'user', content, ...more });
const assistant = (content: unknown, more: object = {}) => ({ role: 'assistant', content, ...more });

/** A record as a line of a file has it. */
function shaped(record: object | string, options: Partial<ShapeOptions> = {}) {
  const text = typeof record === 'string' ? record : JSON.stringify(record);
  return shapeExample(parseJson(text) as DataRecord, { ...plain, ...options }).example;
}

const chat = [user('a'), assistant('1'), user('b'), assistant('2'), user('c'), assistant('3')];
const learned = (messages: unknown[], isEveryAnswer = false) =>
  learnedParts(shaped({ messages }, { assistant_only_loss: isEveryAnswer })).map(part =>
    typeof part === 'string' ? part : part.content,
  );

describe('what of a chat is learned', () => {
  it('is the last answer, or every one where asked', () => {
    expect(learned(chat)).toEqual(['3']);
    expect(learned(chat, true)).toEqual(['1', '2', '3']);
    expect(shaped({ messages: chat }).completion).toEqual([assistant('3')]);
  });

  it('is every message of the last turn', () => {
    expect(learned([user('a'), assistant('x'), assistant('y')])).toEqual(['x', 'y']);
  });

  it.each([
    [{ train: false }, { train: true }],
    [{ weight: 0 }, { weight: 1 }],
    [{ weight: 0 }, { weight: 1.0, train: null }],
  ])('leaves out what is marked %j and takes in what is marked %j', (out, into) => {
    const marked = [
      user('a'),
      assistant('1', into),
      user('b'),
      assistant('2', out),
      user('c'),
      assistant('3'),
    ];
    expect(learned(marked)).toEqual(['1', '3']);
    expect(learned(marked, true)).toEqual(['1', '3']);
  });

  it('ends the example at the last message that is learned: nothing behind it can be', () => {
    const example = shaped({
      messages: [user('a'), assistant('1', { train: true }), user('b'), assistant('2', { train: false })],
    });
    expect(example).toEqual({ prompt: [user('a')], completion: [assistant('1')] });
  });

  it('is a part of what the tokens depend on, not of the example’s id', () => {
    const every = shaped({ messages: chat }, { assistant_only_loss: true });
    const last = shaped({ messages: chat });
    expect(exampleDigest(every)).toEqual(exampleDigest(last));
    expect([learnedKey(every), learnedKey(last)]).toEqual(['212122', '']);
  });

  it.each([
    [[user('a'), assistant('1', { train: false })], /nothing is learned: every answer is marked/],
    [[assistant('hi', { train: true }), user('a'), assistant('1', { train: false })], /no prompt before it/],
    [[user('a', { train: true }), assistant('1')], /messages\[0\] is by "user": only what an assistant says/],
    [[user('a'), assistant('1', { weight: 0.5 })], /messages\[1\] has a weight that is not 0 or 1/],
    [[user('a'), assistant('1', { train: 'no' })], /messages\[1\] has a train that is a string/],
    [[user('a'), assistant('1', { train: true, weight: 0 })], /say the opposite/],
  ])('refuses %j', (messages, message) => {
    expect(() => shaped({ messages })).toThrow(message);
  });
});

describe('fields beside role and content', () => {
  it.each([
    { tool_calls: [] },
    { tool_calls: null, name: '', weight: null, train: null, refusal: null, audio: {} },
    { tool_calls: [{ id: null, type: null, function: { name: null, arguments: null } }] },
  ])('that say nothing are nothing: %j', fields => {
    const messages = [user('a', fields), assistant('1', fields)];
    expect(shaped({ messages, tools: [] })).toEqual({ prompt: [user('a')], completion: [assistant('1')] });
  });

  it('go to the template as they were written, numbers to the digit and without the nulls of a table', () => {
    const call =
      '{"id": "1", "index": null, "function": {"name": "f", "arguments": {"x": 1.0, "n": 12345678901234567890, "no": null}}}';
    const line = `{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls": [${call}]}, {"role": "tool", "content": "12", "tool_call_id": "1", "name": "f"}, {"role": "assistant", "content": "ok", "reasoning_content": "why"}]}`;
    const { prompt, completion } = shaped(line);
    expect(prompt).toEqual([
      user('a'),
      {
        ...assistant(null),
        fields:
          '{"tool_calls":[{"id":"1","function":{"name":"f","arguments":{"x":1.0,"n":12345678901234567890,"no":null}}}]}',
      },
      { role: 'tool', content: '12', fields: '{"tool_call_id":"1","name":"f"}' },
    ]);
    expect(completion).toEqual([assistant('ok', { fields: '{"reasoning_content":"why"}' })]);
  });

  it('with tools beside them, as a list or as JSON of one, in another column where asked', () => {
    const messages = [user('a'), assistant('1')];
    const tools = [{ type: 'function', function: { name: 'f', description: null } }];
    const expected = '[{"type":"function","function":{"name":"f"}}]';
    expect(shaped({ messages, tools }).tools).toBe(expected);
    expect(shaped({ messages, tools: JSON.stringify(tools) }).tools).toBe(expected);
    const columns = { ...plain.columns, tools: 'functions' };
    expect(shaped({ messages, functions: tools, tools: 'x' }, { columns }).tools).toBe(expected);
    expect(shaped({ prompt: [user('a')], completion: [assistant('1')], tools }).tools).toBe(expected);
    expect(() => shaped({ messages, tools: 'none' })).toThrow('tools is a text that is no JSON');
    expect(() => shaped({ messages, tools: ['f'] })).toThrow('tools is a list, not a list of tools');
  });

  it('differ in the id of an example, and have none where there are none', () => {
    const with_ = shaped({ messages: [user('a'), assistant('1', { reasoning_content: 'why' })] });
    const without = shaped({ messages: [user('a'), assistant('1')] });
    expect(exampleDigest(with_)).not.toEqual(exampleDigest(without));
    const tools = shaped({ messages: [user('a'), assistant('1')], tools: [{ name: 'f' }] });
    expect(exampleDigest(tools)).not.toEqual(exampleDigest(without));
  });
});

describe('content', () => {
  it('may be a list of texts', () => {
    const parts = [{ type: 'text', text: 'a ', image_url: null }, { type: 'text', text: 'b' }, ' c'];
    expect(shaped({ messages: [user(parts), assistant('1')] }).prompt).toEqual([user('a b c')]);
  });

  it.each([
    [
      [{ type: 'image_url', image_url: { url: 'x' } }],
      /messages\[0\]\.content\[0\] is "image_url", not a text alone/,
    ],
    [
      [{ type: 'text', text: 'a' }, { type: 'image' }],
      /messages\[0\]\.content\[1\] is "image", not a text alone/,
    ],
    [
      [{ type: 'text', text: 'a', image: 'b' }],
      /messages\[0\]\.content\[0\] is a text with "image", not a text alone/,
    ],
    [null, /messages\[0\] has no content as a text/],
    [7, /messages\[0\] has no content as a text/],
  ])('%j is refused', (content, message) => {
    expect(() => shaped({ messages: [user(content), assistant('1')] })).toThrow(message);
  });

  it('is missing only beside tool calls', () => {
    expect(() => shaped({ messages: [user('a'), assistant(null)] })).toThrow('messages[1] has no content');
    expect(() => shaped({ messages: [user('a'), { content: 'x' }] })).toThrow('messages[1] has no role');
  });
});
