/** A record of a data file to an example, by its columns: the shapes of TRL, detected and named, never mixed. */
import type { Content, Example, Message } from './example.ts';
import { isNumber } from './json.ts';
import { ColumnError, type DataRecord, readColumn } from './template.ts';

export type Shape =
  | 'prompt and completion as text'
  | 'prompt and completion as messages'
  | 'messages'
  | 'prompt only, as text'
  | 'prompt only, as messages';

/** How records are read; the names are those of the configuration. */
export type ShapeOptions = {
  readonly columns: {
    readonly prompt: string | null;
    readonly completion: string | null;
    readonly messages: string | null;
  };
  readonly as_chat: boolean;
  readonly system_prompt: string | null;
};

export type ShapedExample = { readonly shape: Shape; readonly example: Example };

/** Read one record. Throws `ColumnError` when it has none of the shapes. */
export function shapeExample(record: DataRecord, options: ShapeOptions): ShapedExample {
  const { columns } = options;
  const asksMessages = columns.messages !== null;
  const asksPrompt = columns.prompt !== null || columns.completion !== null;
  const hasMessages = asksMessages || (!asksPrompt && present(record, 'messages'));
  const hasPrompt = asksPrompt || (!asksMessages && present(record, 'prompt'));
  if (hasMessages && hasPrompt) throw new ColumnError('both `messages` and `prompt`; say which with columns');
  if (hasMessages)
    return fromMessages(readColumn(record, columns.messages ?? 'messages'), options.system_prompt);
  if (hasPrompt) return fromPrompt(record, options);
  throw new ColumnError(
    `neither \`prompt\` nor \`messages\`; there are: ${Object.keys(record).join(', ') || 'none'} ` +
      '(map them with columns, such as columns: {prompt: question, completion: answer})',
  );
}

function present(record: DataRecord, name: string): boolean {
  return record[name] !== undefined && record[name] !== null;
}

/** The last message is the completion, those before it the prompt. */
function fromMessages(value: unknown, system: string | null): ShapedExample {
  const messages = toMessages(value, 'messages');
  const last = messages.at(-1);
  if (last?.role !== 'assistant') {
    throw new ColumnError(
      `the last message is by ${JSON.stringify(last?.role)}; the answer must be an assistant's`,
    );
  }
  if (messages.length < 2) throw new ColumnError('one message only; the answer needs a prompt before it');
  const example = { prompt: withSystem(messages.slice(0, -1), system), completion: [last] };
  return { shape: 'messages', example };
}

function fromPrompt(record: DataRecord, { columns, as_chat, system_prompt }: ShapeOptions): ShapedExample {
  const prompt = toContent(readColumn(record, columns.prompt ?? 'prompt'), 'prompt');
  const hasCompletion = columns.completion !== null || present(record, 'completion');
  const completion = hasCompletion
    ? toContent(readColumn(record, columns.completion ?? 'completion'), 'completion')
    : null;
  if (completion !== null && typeof prompt !== typeof completion) {
    throw new ColumnError('one of prompt and completion is text and the other messages');
  }
  const form = typeof prompt === 'string' ? 'text' : 'messages';
  const shape: Shape = completion === null ? `prompt only, as ${form}` : `prompt and completion as ${form}`;
  const isChat = as_chat || typeof prompt !== 'string';
  if (!isChat) return { shape, example: { prompt, completion } };
  const asked = withSystem(
    typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt,
    system_prompt,
  );
  const answered = typeof completion === 'string' ? [{ role: 'assistant', content: completion }] : completion;
  return { shape, example: { prompt: asked, completion: answered } };
}

function withSystem(messages: Message[], system: string | null): Message[] {
  return system === null || messages[0]?.role === 'system'
    ? messages
    : [{ role: 'system', content: system }, ...messages];
}

function toContent(value: unknown, name: string): Content {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return toMessages(value, name);
  const isPlain = isNumber(value) || typeof value === 'boolean';
  const hint = isPlain ? `; a template such as "{${name}}" makes it a text` : '';
  throw new ColumnError(`${name} is ${typeName(value)}, not a text or a list of messages${hint}`);
}

function toMessages(value: unknown, name: string): Message[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new ColumnError(`${name} is ${typeName(value)}, not a list of messages`);
  return value.map((message: unknown, i) => toMessage(message, `${name}[${i}]`));
}

/** Role and content as text; anything more, such as tool calls, would be lost silently and is refused. */
function toMessage(value: unknown, place: string): Message {
  const { role, content, ...more } = (typeof value === 'object' && value !== null ? value : {}) as DataRecord;
  if (typeof role !== 'string' || typeof content !== 'string')
    throw new ColumnError(`${place} has no role and content as texts`);
  const [extra] = Object.entries(more).find(([, entry]) => entry !== null) ?? [];
  if (extra !== undefined)
    throw new ColumnError(`${place} has "${extra}"; only role and content are understood`);
  return { role, content };
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'missing';
  if (isNumber(value)) return 'a number';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'a block' : `a ${typeof value}`;
}
