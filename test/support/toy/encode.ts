/** Examples → ids with the boundary between prompt and completion, by ChatML where they are messages. */
import type { Params, Result, WireExample, WireMessage } from '../../../src/worker/protocol.ts';
import type { Encoded } from '../../../src/worker/worker.ts';
import { refuse } from './refuse.ts';
import { eosId, isSpecial, tokenize, tokenizePlain } from './tokens.ts';

type EncodeWarning = Result<'encode'>['warnings'][number];

/** Throws BAD_PARAMS with `index` and `reason` for what gives no prompt or no completion. */
export function encodeExamples(params: Params<'encode'>): {
  sequences: Encoded[];
  warnings: EncodeWarning[];
  stopIds: number[];
  readsDate: boolean;
} {
  const { examples, maxLength, chatTemplate, splitSpecialTokens } = params;
  const today = todayOf(params);
  if (chatTemplate !== null)
    throw refuse('BAD_PARAMS', 'chatTemplate must be null: the toy knows ChatML only');
  const words = splitSpecialTokens ? tokenizePlain : tokenize;
  const sequences = examples.map((example, index) => encodeExample(today.asks(example), index, words));
  const named = examples.flatMap((example, i) => (hasSpecial(example) ? [i] : []));
  const tooLong = sequences.flatMap(({ ids }, i) =>
    maxLength !== null && ids.length > maxLength ? [i] : [],
  );
  const warnings = [
    ...warningOf(splitSpecialTokens ? 'special_tokens_split' : 'special_tokens_kept', named),
    ...warningOf('too_long', tooLong),
  ];
  const hasChat = examples.some(({ prompt }) => typeof prompt !== 'string');
  return { sequences, warnings, stopIds: hasChat ? [eosId] : [], readsDate: hasChat && today.isRead };
}

/** With the template option `dated` a chat begins with the day, as some templates write it. */
function todayOf({ date, templateOptions }: Params<'encode'>) {
  const day = new Date(`${date ?? new Date().toISOString().slice(0, 10)}T00:00:00Z`);
  if (Number.isNaN(day.getTime()) || (date !== null && day.toISOString().slice(0, 10) !== date))
    throw refuse('BAD_PARAMS', `date is '${date}'; give a day such as 2026-11-26`);
  const isRead = templateOptions.dated === true;
  const system = { role: 'system', content: day.toISOString().slice(0, 10), learned: false, fields: null };
  const asks = (example: WireExample): WireExample =>
    isRead && typeof example.prompt !== 'string'
      ? { ...example, prompt: [system, ...example.prompt] }
      : example;
  return { isRead, asks };
}

const messages = {
  special_tokens_kept: 'names of control tokens stand in the text and are read as control tokens',
  special_tokens_split: 'names of control tokens stand in the text and are read as plain text',
  too_long: 'the sequence is longer than maxLength; it is returned whole',
} as const;

function warningOf(code: keyof typeof messages, indices: readonly number[]): EncodeWarning[] {
  const [firstIndex] = indices;
  if (firstIndex === undefined) return [];
  return [{ code, message: messages[code], count: indices.length, firstIndex }];
}

type Words = (text: string) => number[];
/** Ids, of which all are learned or none. */
type Piece = { readonly ids: readonly number[]; readonly learned: boolean };

function encodeExample(example: WireExample, index: number, words: Words): Encoded {
  const { prompt, completion } =
    typeof example.prompt === 'string'
      ? textPieces(example, index, words)
      : chatPieces(example, index, words);
  if (prompt.every(({ ids }) => ids.length === 0)) throw badExample(index, 'empty_prompt');
  const said = completion?.filter(({ learned }) => learned).at(-1);
  if (completion !== null && (said?.ids.every(isSpecial) ?? true))
    throw badExample(index, 'empty_completion');
  if (completion === null)
    return joined(
      prompt.map(({ ids }) => ({ ids, learned: false })),
      [],
    );
  const end = completion.findLastIndex(({ learned }) => learned);
  return joined(prompt, completion.slice(0, end + 1));
}

function joined(prompt: readonly Piece[], completion: readonly Piece[]): Encoded {
  const pieces = [...prompt, ...completion];
  return {
    ids: Int32Array.from(pieces.flatMap(({ ids }) => ids)),
    promptLength: prompt.reduce((sum, { ids }) => sum + ids.length, 0),
    learned: Uint8Array.from(pieces.flatMap(({ ids, learned }) => ids.map(() => Number(learned)))),
  };
}

type Pieces = { readonly prompt: Piece[]; readonly completion: Piece[] | null };

/** An end that closes a completion is what it says. */
function textPieces({ prompt, completion }: WireExample, index: number, words: Words): Pieces {
  if (completion !== null && typeof completion !== 'string') throw badExample(index, 'mixed_types');
  const asked = { ids: words(prompt as string), learned: false };
  if (completion === null) return { prompt: [asked], completion: null };
  const ids = [
    ...words(completion.endsWith(turnEnd) ? completion.slice(0, -turnEnd.length) : completion),
    eosId,
  ];
  return { prompt: [asked], completion: [{ ids, learned: true }] };
}

/** A prompt that ends in the assistant's words is to be gone on with. */
function chatPieces(example: WireExample, index: number, words: Words): Pieces {
  const asked = example.prompt as readonly WireMessage[];
  if (asked.length === 0) throw badExample(index, 'empty_prompt');
  const isBegun = asked.at(-1)?.role === 'assistant';
  const history = asked.flatMap(message => chatML(message, words));
  const header = { ids: tokenize(turnStart('assistant')), learned: false };
  const begun = [...history.slice(0, -2), { ids: words(asked.at(-1)?.content ?? ''), learned: false }];
  const prompt = isBegun ? begun : [...history, header];
  if (example.completion === null) return { prompt, completion: null };
  const answer =
    typeof example.completion === 'string' ? [assistant(example.completion)] : example.completion;
  if (answer.length === 0) throw badExample(index, 'empty_completion');
  return { prompt, completion: answer.flatMap(message => chatML(message, words)).slice(1) };
}

const turnEnd = '<|im_end|>';

function turnStart(role: string): string {
  return `<|im_start|>${role}\n`;
}

/** Header, words with their end, and the line break behind. */
function chatML({ role, content, learned }: WireMessage, words: Words): Piece[] {
  const said = [...words(content ?? ''), eosId];
  return [
    { ids: tokenize(turnStart(role)), learned: false },
    { ids: said, learned },
    { ids: tokenize('\n'), learned: false },
  ];
}

function assistant(content: string): WireMessage {
  return { role: 'assistant', content, learned: true, fields: null };
}

function hasSpecial({ prompt, completion }: WireExample): boolean {
  const texts = [prompt, completion].flatMap(said =>
    typeof said === 'string'
      ? [said.replace(/<\|im_end\|>$/, '')]
      : (said ?? []).map(({ content }) => content ?? ''),
  );
  return texts.some(text => tokenize(text).length < tokenizePlain(text).length);
}

const reasons = {
  empty_prompt: 'has an empty prompt',
  empty_completion: 'has an empty completion; null asks for the prompt alone',
  mixed_types: 'has a text prompt and a completion of messages; give both in one form',
} as const;

function badExample(index: number, reason: keyof typeof reasons) {
  const message = `examples[${index}] ${reasons[reason]}`;
  return refuse('BAD_PARAMS', message, { index, reason, problems: [{ index, message: reasons[reason] }] });
}
