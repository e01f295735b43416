/** Tasks that are answered in words. */
import { ColumnError, type DataRecord } from '../data/template.ts';
import { gsm8kShots, mathShots } from './shots.ts';
import { type Task, type TaskRow, textOf, textsOf } from './task.ts';
import { toolCallRows } from './toolalpaca.ts';

function mathRows(record: DataRecord): TaskRow[] {
  const prompt = `${textOf(record, 'problem').trim()}\n\nReason step by step, and put your final answer within \\boxed{}.`;
  return [{ prompt, answer: textOf(record, 'answer', 'solution') }];
}

function gsm8kRows(record: DataRecord): TaskRow[] {
  const prompt = `${textOf(record, 'question').trim()}\n\nReason step by step, and end with a line "#### N", where N is the answer as a number.`;
  return [{ prompt, answer: textOf(record, 'answer') }];
}

/** The numbers as exact text, so that a target is compared with nothing rounded. */
function countdownRows(record: DataRecord): TaskRow[] {
  const numbers = record.nums ?? record.numbers;
  const isWhole = (value: unknown) => typeof value === 'number' && Number.isSafeInteger(value);
  if (!Array.isArray(numbers) || numbers.length === 0 || !numbers.every(isWhole))
    throw new ColumnError(`nums is ${JSON.stringify(numbers)?.slice(0, 60)}, not a list of whole numbers`);
  if (!isWhole(record.target))
    throw new ColumnError(`target is ${JSON.stringify(record.target)}, not a whole number`);
  const prompt =
    `Using the numbers [${numbers.join(', ')}], write an expression that equals ${record.target as number}. ` +
    'Use each number exactly once; you may use +, -, *, / and brackets, and every division must come out even. ' +
    'Reason step by step, and give the expression within <answer> and </answer>, such as <answer>(1 + 2) * 3</answer>.';
  return [{ prompt, answer: null, numbers, target: record.target }];
}

/** Paragraphs as [title, [sentences]], or in two lists as on the hub. */
function hotpotRows(record: DataRecord): TaskRow[] {
  const { context } = record as { readonly context?: unknown };
  const placed = context as
    | { readonly title?: readonly string[]; readonly sentences?: readonly string[][] }
    | undefined;
  const paragraphs: unknown = Array.isArray(context)
    ? context
    : placed?.title?.map((title, i) => [title, placed.sentences?.[i]]);
  if (!Array.isArray(paragraphs)) throw new ColumnError('context is not a list of paragraphs');
  const said = paragraphs.map(paragraph => {
    const [title, sentences] = paragraph as [unknown, unknown];
    return `${String(title)}: ${textsOf(sentences, 'the sentences of a paragraph').join('').trim()}`;
  });
  const prompt = `${said.join('\n\n')}\n\nQuestion: ${textOf(record, 'question')}\nAnswer in a few words, with nothing else.`;
  return [{ prompt, answer: textOf(record, 'answer') }];
}

function triviaRows(record: DataRecord): TaskRow[] {
  const { answer } = record;
  const given = typeof answer === 'object' && answer !== null ? (answer as DataRecord) : record;
  const value = typeof answer === 'string' ? answer : textOf(given, 'value');
  const aliases = [...new Set([value, ...textsOf(given.aliases ?? [], 'aliases')])];
  const prompt = `Question: ${textOf(record, 'question')}\nAnswer in a few words, with nothing else.`;
  return [{ prompt, answer: value, aliases }];
}

/** The last word of a passage, from its text or already split off. */
function lambadaRows(record: DataRecord): TaskRow[] {
  if (record.text === undefined)
    return [{ prompt: textOf(record, 'context'), answer: textOf(record, 'target') }];
  const said = textOf(record, 'text');
  const gap = said.lastIndexOf(' ');
  return [{ prompt: said.slice(0, gap), answer: said.slice(gap + 1) }];
}

/** Prompts whose rule has no sound verdict: they count # and !, for which the official check draws a random letter. */
const unsoundIfeval: readonly number[] = [1122, 1129];

function ifevalRows(record: DataRecord): TaskRow[] {
  if (unsoundIfeval.includes(Number(record.key))) return [];
  const names = textsOf(record.instruction_id_list, 'instruction_id_list');
  const { kwargs } = record;
  if (!Array.isArray(kwargs) || kwargs.length !== names.length)
    throw new ColumnError('kwargs is not a list with an entry for each of instruction_id_list');
  return [{ prompt: textOf(record, 'prompt'), answer: null }];
}

/** Tasks answered in words, by name. */
export const answeredTasks = {
  countdown: {
    version: 1,
    title: 'An expression from given numbers that equals a target.',
    hub: { path: 'Jiayi-Pan/Countdown-Tasks-3to4', split: 'train' },
    file: 'countdown/test.jsonl',
    settings: { scorer: 'countdown', max_new_tokens: 1024 },
    rows: countdownRows,
  },
  gsm8k: {
    version: 1,
    title: 'Grade-school mathematics.',
    hub: { path: 'openai/gsm8k', name: 'main', split: 'test' },
    file: 'gsm8k/test.jsonl',
    settings: { scorer: 'gsm8k', max_new_tokens: 512 },
    shots: gsm8kShots,
    rows: gsm8kRows,
  },
  hotpotqa: {
    version: 1,
    title: 'Questions whose answer takes two of ten paragraphs (distractor setting); exact match.',
    hub: { path: 'hotpotqa/hotpot_qa', name: 'distractor', split: 'validation' },
    file: 'hotpotqa/dev_distractor_500.jsonl',
    settings: { scorer: 'hotpotqa', max_new_tokens: 48 },
    rows: hotpotRows,
  },
  ifeval: {
    version: 1,
    title: 'Instructions that a program can check; all of a prompt, strictly.',
    hub: { path: 'google/IFEval', split: 'train' },
    file: 'ifeval/input_data.jsonl',
    settings: { scorer: 'ifeval', max_new_tokens: 1280 },
    rows: ifevalRows,
  },
  lambada: {
    version: 1,
    title: 'The last word of a passage, written greedily.',
    hub: { path: 'EleutherAI/lambada_openai', name: 'default', split: 'test' },
    file: 'lambada/openai_test_2000.jsonl',
    settings: { scorer: 'lambada', max_new_tokens: 12, as_chat: false },
    rows: lambadaRows,
  },
  math: {
    version: 1,
    title: 'Competition mathematics; equal in value, not in text.',
    hub: { path: 'DigitalLearningGmbH/MATH-lighteval', name: 'default', split: 'test' },
    file: 'math/test.jsonl',
    settings: { scorer: 'math', max_new_tokens: 1024 },
    shots: mathShots,
    rows: mathRows,
  },
  math_500: {
    version: 1,
    title: 'The 500 problems of MATH that most reports use.',
    hub: { path: 'HuggingFaceH4/MATH-500', split: 'test' },
    file: 'math/math_500.jsonl',
    settings: { scorer: 'math', max_new_tokens: 1024 },
    shots: mathShots,
    rows: mathRows,
  },
  toolalpaca: {
    version: 1,
    title: 'Calls of a described API; names and arguments match.',
    hub: null,
    file: 'toolalpaca/eval_simulated.json',
    settings: { scorer: 'toolalpaca', max_new_tokens: 512 },
    rows: toolCallRows,
  },
  triviaqa: {
    version: 1,
    title: 'Questions of general knowledge, closed book; any of the known names.',
    hub: { path: 'mandarjoshi/trivia_qa', name: 'rc.nocontext', split: 'validation' },
    file: 'triviaqa/sample_2000.jsonl',
    settings: { scorer: 'triviaqa', max_new_tokens: 32 },
    rows: triviaRows,
  },
} as const satisfies Record<string, Task>;
