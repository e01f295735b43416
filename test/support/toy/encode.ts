/** Examples → ids with the boundary between prompt and completion, by ChatML where they are messages. */
import type { Example, Message, Params, Result } from '../../../src/worker/protocol.ts';
import type { Encoded } from '../../../src/worker/worker.ts';
import { refuse } from './refuse.ts';
import { eosId, isSpecial, tokenize } from './tokens.ts';

type EncodeWarning = Result<'encode'>['warnings'][number];

/** Throws BAD_PARAMS with `index` and `reason` for what gives no prompt or no completion. */
export function encodeExamples(params: Params<'encode'>): {
  sequences: Encoded[];
  warnings: EncodeWarning[];
  stopIds: number[];
} {
  const { examples, maxLength, chatTemplate } = params;
  if (chatTemplate !== null)
    throw refuse('BAD_PARAMS', 'chatTemplate must be null: the toy knows ChatML only');
  const sequences = examples.map(encodeExample);
  const tooLong = sequences.flatMap(({ ids }, i) =>
    maxLength !== null && ids.length > maxLength ? [i] : [],
  );
  const hasChat = examples.some(({ prompt }) => typeof prompt !== 'string');
  return { sequences, warnings: tooLongWarning(tooLong), stopIds: hasChat ? [eosId] : [] };
}

function tooLongWarning(indices: readonly number[]): EncodeWarning[] {
  const [firstIndex] = indices;
  if (firstIndex === undefined) return [];
  const message = 'the sequence is longer than maxLength; it is returned whole';
  return [{ code: 'too_long', message, count: indices.length, firstIndex }];
}

function encodeExample(example: Example, index: number): Encoded {
  const rendered =
    typeof example.prompt === 'string' ? renderText(example, index) : renderChat(example, index);
  const prompt = tokenize(rendered.prompt);
  if (prompt.length === 0) throw badExample(index, 'empty_prompt');
  if (rendered.completion === null) return { ids: Int32Array.from(prompt), promptLength: prompt.length };
  const completion = tokenize(rendered.completion);
  if (completion.every(isSpecial)) throw badExample(index, 'empty_completion');
  const end = completion.at(-1) === eosId ? [] : [eosId];
  return { ids: Int32Array.from([...prompt, ...completion, ...end]), promptLength: prompt.length };
}

type Rendered = { readonly prompt: string; readonly completion: string | null };

function renderText({ prompt, completion }: Example, index: number): Rendered {
  if (completion !== null && typeof completion !== 'string') throw badExample(index, 'mixed_types');
  return { prompt: prompt as string, completion };
}

/** A prompt that ends in the assistant's words is to be gone on with. */
function renderChat(example: Example, index: number): Rendered {
  const messages = example.prompt as readonly Message[];
  if (messages.length === 0) throw badExample(index, 'empty_prompt');
  const isBegun = messages.at(-1)?.role === 'assistant';
  const history = messages.map(chatML).join('');
  const prompt = isBegun ? history.slice(0, -turnEnd.length) : `${history}<|im_start|>assistant\n`;
  if (example.completion === null) return { prompt, completion: null };
  const answer =
    typeof example.completion === 'string' ? [assistant(example.completion)] : example.completion;
  if (answer.length === 0) throw badExample(index, 'empty_completion');
  return { prompt, completion: answer.map(chatML).join('').slice(turnStart('assistant').length, -1) };
}

const turnEnd = '<|im_end|>\n';

function turnStart(role: string): string {
  return `<|im_start|>${role}\n`;
}

function chatML({ role, content }: Message): string {
  return turnStart(role) + content + turnEnd;
}

function assistant(content: string): Message {
  return { role: 'assistant', content };
}

const reasons = {
  empty_prompt: 'has an empty prompt',
  empty_completion: 'has an empty completion; null asks for the prompt alone',
  mixed_types: 'has a text prompt and a completion of messages; give both in one form',
} as const;

function badExample(index: number, reason: keyof typeof reasons) {
  return refuse('BAD_PARAMS', `examples[${index}] ${reasons[reason]}`, { index, reason });
}
