/** A record of a data file to an example, by its columns: the shapes of TRL, detected and named, never mixed. */
import type { Content, Example, Message } from './example.ts';
import { isNumber } from './json.ts';
import { type KnownForm, readKnownForm } from './known-forms.ts';
import { splitChat, toMessages, toTools, typeName } from './messages.ts';
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
    readonly tools?: string | null;
  };
  readonly as_chat: boolean;
  readonly system_prompt: string | null;
  /** Learn every answer of a chat, not only the last. */
  readonly assistant_only_loss?: boolean;
};

/** `form`: that of another tool, in which the record was written. */
export type ShapedExample = {
  readonly shape: Shape;
  readonly example: Example;
  readonly form?: KnownForm;
};

/** Read one record. Throws `ColumnError` when it has none of the shapes. */
export function shapeExample(record: DataRecord, options: ShapeOptions): ShapedExample {
  const { columns } = options;
  const isAsked = [columns.messages, columns.prompt, columns.completion].some(column => column !== null);
  const isOurs = isAsked || present(record, 'messages') || present(record, 'prompt');
  const known = isOurs ? null : readKnownForm(record);
  return known === null
    ? shapeOurs(record, options)
    : { ...shapeOurs(known.record, options), form: known.form };
}

function shapeOurs(record: DataRecord, options: ShapeOptions): ShapedExample {
  const { columns } = options;
  const asksMessages = columns.messages !== null;
  const asksPrompt = columns.prompt !== null || columns.completion !== null;
  const hasMessages = asksMessages || (!asksPrompt && present(record, 'messages'));
  const hasPrompt = asksPrompt || (!asksMessages && present(record, 'prompt'));
  if (hasMessages && hasPrompt) throw new ColumnError('both `messages` and `prompt`; say which with columns');
  if (hasMessages) return fromMessages(record, options);
  if (hasPrompt) return fromPrompt(record, options);
  throw new ColumnError(
    `neither \`prompt\` nor \`messages\`; there are: ${Object.keys(record).join(', ') || 'none'} ` +
      '(map them with columns, such as columns: {prompt: question, completion: answer})',
  );
}

function present(record: DataRecord, name: string): boolean {
  return record[name] !== undefined && record[name] !== null;
}

function fromMessages(record: DataRecord, options: ShapeOptions): ShapedExample {
  const value = readColumn(record, options.columns.messages ?? 'messages');
  const messages = toMessages(value, 'messages');
  const { prompt, completion } = splitChat(messages, options.assistant_only_loss ?? false);
  const example = { prompt: withSystem(prompt, options.system_prompt), completion };
  return { shape: 'messages', example: withTools(example, record, options) };
}

function withTools(example: Example, record: DataRecord, { columns }: ShapeOptions): Example {
  const tools = toTools(columns.tools ? readColumn(record, columns.tools) : record.tools, 'tools');
  return tools === undefined ? example : { ...example, tools };
}

function fromPrompt(record: DataRecord, options: ShapeOptions): ShapedExample {
  const { columns, as_chat, system_prompt } = options;
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
  return { shape, example: withTools({ prompt: asked, completion: answered }, record, options) };
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
