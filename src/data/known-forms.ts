/** Records in the forms of other tools, known by their columns, as records in one of our own. */
import { typeName } from './messages.ts';
import { ColumnError, type DataRecord } from './template.ts';

/** Whose form a record has, with the columns that told. */
export type KnownForm = 'Alpaca (instruction, input, output)' | 'ShareGPT (conversations: from, value)';

/** The same record as `prompt` and `completion`, or as `messages`; null where its columns are not known. Throws `ColumnError`. */
export function readKnownForm(record: DataRecord): { form: KnownForm; record: DataRecord } | null {
  if (isSomething(record.conversations))
    return { form: 'ShareGPT (conversations: from, value)', record: fromShareGpt(record) };
  if (record.instruction !== undefined && record.output !== undefined)
    return { form: 'Alpaca (instruction, input, output)', record: fromAlpaca(record) };
  return null;
}

/** The input stands in a line below the instruction, as LLaMA-Factory has it. */
function fromAlpaca({ instruction, input, output, history, system }: DataRecord): DataRecord {
  for (const [name, value] of Object.entries({ instruction, output, input: input ?? '' }))
    if (typeof value !== 'string') throw new ColumnError(`${name} is ${typeName(value)}, not a text`);
  for (const [name, value] of Object.entries({ history, system }))
    if (isSomething(value))
      throw new ColumnError(
        `${name} is given, which only \`messages\` can say: write the rounds and the system message as messages`,
      );
  const asked = isSomething(input) ? `${instruction}\n${input}` : instruction;
  return { prompt: asked, completion: output };
}

const roles: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  system: 'system',
  observation: 'tool',
  tool: 'tool',
};

function fromShareGpt({ conversations, system, tools }: DataRecord): DataRecord {
  if (!Array.isArray(conversations))
    throw new ColumnError(`conversations is ${typeName(conversations)}, not a list of messages`);
  const said = conversations.map((turn: unknown, i) => toMessage(turn, `conversations[${i}]`));
  const before = isSomething(system) ? [{ role: 'system', content: system }] : [];
  return { messages: [...before, ...said], tools };
}

/** Some files have `role` and `content` under this name, which need no change. */
function toMessage(turn: unknown, place: string): unknown {
  const { from, value, ...rest } = (typeof turn === 'object' ? (turn ?? {}) : {}) as DataRecord;
  if (from === undefined || from === null) return turn;
  const role = typeof from === 'string' && Object.hasOwn(roles, from) ? roles[from] : undefined;
  if (role === undefined)
    throw new ColumnError(
      `${place} is from ${JSON.stringify(from)}; ${Object.keys(roles).join(', ')} are understood (calls of tools: write \`messages\` with tool_calls)`,
    );
  return { role, content: value, ...rest };
}

function isSomething(value: unknown): boolean {
  return (
    value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0)
  );
}
