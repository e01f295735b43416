/** Chat messages of a record: what is said, what else the template takes, and what of it is learned. */
import type { Message } from './example.ts';
import { isNumber, parseJson, toJson } from './json.ts';
import { ColumnError, type DataRecord } from './template.ts';

/** Fields that chat templates read besides role and content. */
const templateFields = ['tool_calls', 'tool_call_id', 'name', 'reasoning_content', 'thinking'] as const;

/** A list of messages; `name` is its place in messages of errors. Throws `ColumnError`. */
export function toMessages(value: unknown, name: string): Message[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new ColumnError(`${name} is ${typeName(value)}, not a list of messages`);
  return value.map((message: unknown, i) => toMessage(message, `${name}[${i}]`));
}

/**
 * A chat as prompt and answer: the answer is the last turn of the assistant, of which every message is learned; of earlier ones those
 * that are marked, or all where `isEveryAnswer`. Nothing stays behind the last message that is learned. Throws `ColumnError`.
 */
export function splitChat(
  messages: readonly Message[],
  isEveryAnswer: boolean,
): { prompt: Message[]; completion: Message[] } {
  const last = messages.at(-1);
  if (last?.role !== 'assistant')
    throw new ColumnError(
      `the last message is by ${JSON.stringify(last?.role)}; the answer must be an assistant's`,
    );
  const start = startOfTurn(messages, messages.length);
  const isLearned = ({ role, learned }: Message, place: number) =>
    learned ?? (role === 'assistant' && (isEveryAnswer || place >= start));
  const end = messages.findLastIndex(isLearned) + 1;
  if (end === 0) throw new ColumnError('nothing is learned: every answer is marked as not to be learned');
  const answer = startOfTurn(messages, end);
  if (answer === 0)
    throw new ColumnError(
      messages.length < 2
        ? 'one message only; the answer needs a prompt before it'
        : 'the only answer that is learned has no prompt before it',
    );
  const marked = (message: Message, place: number): Message => {
    const learned = isLearned(message, place);
    const { learned: _, ...rest } = message;
    return learned === (place >= answer && message.role === 'assistant') ? rest : { ...rest, learned };
  };
  const kept = messages.slice(0, end).map(marked);
  return { prompt: kept.slice(0, answer), completion: kept.slice(answer) };
}

/** The tools of a record as JSON, from a list or from JSON of one; undefined where there are none. Throws `ColumnError`. */
export function toTools(value: unknown, name: string): string | undefined {
  const list = typeof value === 'string' && value.trim() !== '' ? fromJson(value, name) : value;
  if (isNothing(list)) return undefined;
  if (Array.isArray(list) && list.every(isBlock)) return toJson(withoutNulls(list));
  throw new ColumnError(`${name} is ${typeName(value)}, not a list of tools`);
}

/** What a value is, for messages of errors. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'missing';
  if (isNumber(value)) return 'a number';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'a block' : `a ${typeof value}`;
}

/** Where the messages by one assistant begin that end before `end`. */
function startOfTurn(messages: readonly Message[], end: number): number {
  let start = end;
  while (start > 0 && messages[start - 1]?.role === 'assistant') start--;
  return start;
}

function toMessage(value: unknown, place: string): Message {
  const { role, content, train, weight, ...more } = (isBlock(value) ? value : {}) as DataRecord;
  if (typeof role !== 'string') throw new ColumnError(`${place} has no role as a text`);
  const given = Object.entries(more).filter(([, entry]) => !isNothing(entry));
  const [unknown] = given.find(([key]) => !templateFields.some(field => field === key)) ?? [];
  if (unknown !== undefined)
    throw new ColumnError(
      `${place} has "${unknown}"; role, content, train, weight, ${templateFields.join(', ')} are understood`,
    );
  const known = Object.fromEntries(
    templateFields.flatMap(key => (isNothing(more[key]) ? [] : [[key, withoutNulls(more[key])]])),
  );
  const hasCalls = known.tool_calls !== undefined;
  const learned = toLearned({ train, weight }, role, place);
  return {
    role,
    content: toText(content, hasCalls, place),
    ...(learned === undefined ? {} : { learned }),
    ...(Object.keys(known).length === 0 ? {} : { fields: toJson(known) }),
  };
}

/** A text, or the text parts of a list; null beside tool calls. */
function toText(content: unknown, hasCalls: boolean, place: string): string | null {
  if (typeof content === 'string') return content;
  if (Array.isArray(content) && content.length > 0)
    return content.map((part: unknown, i) => partText(part, `${place}.content[${i}]`)).join('');
  if (hasCalls && isNothing(content)) return null;
  throw new ColumnError(`${place} has no content as a text`);
}

function partText(part: unknown, place: string): string {
  if (typeof part === 'string') return part;
  const { type, text, ...more } = (isBlock(part) ? part : {}) as DataRecord;
  const other = Object.entries(more).find(([, entry]) => !isNothing(entry));
  if (type === 'text' && typeof text === 'string' && other === undefined) return text;
  const found =
    type === 'text' && other !== undefined ? `a text with "${other[0]}"` : JSON.stringify(type ?? null);
  throw new ColumnError(`${place} is ${found}, not a text alone`);
}

/** `train` is a choice, `weight` the same as OpenAI writes it: 0 or 1. */
function toLearned(
  { train, weight }: { train: unknown; weight: unknown },
  role: string,
  place: string,
): boolean | undefined {
  if (!isNothing(train) && typeof train !== 'boolean')
    throw new ColumnError(`${place} has a train that is ${typeName(train)}, not true or false`);
  const byWeight = isNothing(weight) ? undefined : isLearnedBy(weight, place);
  const learned = typeof train === 'boolean' ? train : byWeight;
  if (byWeight !== undefined && learned !== byWeight)
    throw new ColumnError(`${place} has a train and a weight that say the opposite`);
  if (learned && role !== 'assistant')
    throw new ColumnError(`${place} is by ${JSON.stringify(role)}: only what an assistant says is learned`);
  return learned;
}

function isLearnedBy(weight: unknown, place: string): boolean {
  const number = isNumber(weight) ? Number(toJson(weight)) : Number.NaN;
  if (number === 0 || number === 1) return number === 1;
  throw new ColumnError(`${place} has a weight that is not 0 or 1`);
}

/** As exporters and Parquet write a field that is not there: null, an empty text or list, a block of nothing. */
function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  if (Array.isArray(value)) return value.every(isNothing);
  return isBlock(value) && Object.values(value).every(isNothing);
}

/** Fields that are null are not there; the arguments of a call are somebody's data, and stay. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isBlock(value)) return value;
  const entries = Object.entries(value).filter(([, entry]) => entry !== null);
  return Object.fromEntries(
    entries.map(([key, entry]) => [key, key === 'arguments' ? entry : withoutNulls(entry)]),
  );
}

function isBlock(value: unknown): value is DataRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isNumber(value);
}

function fromJson(text: string, name: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new ColumnError(`${name} is a text that is no JSON`);
  }
}
