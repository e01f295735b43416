/** ToolAlpaca: are the calls of an answer those that are right? Pure. */
import { spokenPart } from './answer-part.ts';

/** A call with its arguments; null: they are no JSON object. */
export type Call = { readonly action: string; readonly input: Readonly<Record<string, unknown>> | null };

/** What stands for a value that an earlier call gives. */
const anyValue = '\u0000any';

/** Same calls in the same order, each with the same arguments; `getDetails` asks in its own words. */
export function sameCalls(
  text: string,
  gold: readonly { readonly action: string; readonly input: string }[],
): boolean {
  const said = callsIn(text);
  return (
    said.length === gold.length &&
    gold.every((call, i) => isSame(said[i] as Call, call.action, inputOf(call.input)))
  );
}

function isSame(said: Call, action: string, wanted: Call['input']): boolean {
  if (said.action.trim() !== action) return false;
  if (action === 'getDetails' || wanted === null) return true;
  if (said.input === null) return false;
  const given = withoutEmpty(said.input);
  const right = withoutEmpty(wanted);
  return (
    Object.keys(given).every(key => Object.hasOwn(right, key)) &&
    Object.entries(right).every(([key, value]) => Object.hasOwn(given, key) && isEqual(given[key], value))
  );
}

/** `""` and null say the same as an argument that is left out. */
function withoutEmpty(input: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== '' && value !== null));
}

function isEqual(said: unknown, wanted: unknown): boolean {
  if (wanted === anyValue) return true;
  if (Array.isArray(wanted))
    return (
      Array.isArray(said) &&
      said.length === wanted.length &&
      wanted.every((value, i) => isEqual(said[i], value))
    );
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof said !== 'object' || said === null || Array.isArray(said)) return false;
    const [given, right] = [said, wanted] as [Record<string, unknown>, Record<string, unknown>];
    return (
      Object.keys(given).length === Object.keys(right).length &&
      Object.entries(right).every(([key, value]) => isEqual(given[key], value))
    );
  }
  if (typeof said === 'object') return false;
  return String(said).trim().toLowerCase() === String(wanted).trim().toLowerCase();
}

/** `Action: name` and `Action Input: {…}`, or calls as JSON. */
export function callsIn(text: string): Call[] {
  const said = spokenPart(text).replace(/\*\*|`(?!`)/g, '');
  const lines = [
    ...said.matchAll(
      /(?:^|\n)[ \t]*(?:\d+[.)]\s*)?Action:[ \t]*([^\n]+?)[ \t]*\n\s*Action[ _]Input:[ \t]*/gi,
    ),
  ];
  if (lines.length > 0)
    return lines.map(({ index, 0: { length }, 1: action = '' }) => ({
      action: action.replace(/\(\)$/, ''),
      input: inputOf(blockAt(said, index + length)),
    }));
  return jsonCalls(said);
}

const pieces = /"(?:[^"\\]|\\.)*"|[{}\n]/g;

/** The block in braces that a text begins with at `start`, or its line. */
function blockAt(text: string, start: number): string {
  let depth = 0;
  for (const { index, 0: piece } of text.slice(start).matchAll(pieces)) {
    if (piece === '{') depth++;
    if (piece === '}') depth--;
    if (depth === 0 && piece === '}') return text.slice(start, start + index + 1);
    if (depth === 0 && piece === '\n') return text.slice(start, start + index);
  }
  return text.slice(start);
}

/** Places such as `${id from search}` stand for any value, in quotes or not, with a quote too many or not. */
function inputOf(written: string): Call['input'] {
  const plain = written.trim().replace(/"?\$\{[^{}]*\}"?/g, JSON.stringify(anyValue));
  if (plain === '') return {};
  try {
    const value: unknown = JSON.parse(plain);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function jsonCalls(said: string): Call[] {
  const start = said.search(/[[{]/);
  const end = Math.max(said.lastIndexOf(']'), said.lastIndexOf('}'));
  if (start < 0 || end < start) return [];
  try {
    const value: unknown = JSON.parse(said.slice(start, end + 1));
    return (Array.isArray(value) ? value : [value]).flatMap(callOf);
  } catch {
    return [];
  }
}

function callOf(value: unknown): Call[] {
  if (typeof value !== 'object' || value === null) return [];
  const call = value as Record<string, unknown>;
  const action = call.action ?? call.Action ?? call.name;
  const input =
    call.action_input ?? call.Action_Input ?? call.input ?? call.arguments ?? call.parameters ?? {};
  if (typeof action !== 'string') return [];
  return [{ action, input: inputOf(typeof input === 'string' ? input : JSON.stringify(input)) }];
}
