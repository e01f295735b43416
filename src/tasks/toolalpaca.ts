/** ToolAlpaca: which calls of an API a request needs. One row is an API with its requests. */
import { ColumnError, type DataRecord } from '../data/template.ts';
import { type TaskRow, textOf, textsOf } from './task.ts';

/** One call; what an earlier call gives stands in `input` as `${…}`. */
export type ToolCall = { readonly action: string; readonly input: string };

/** A question for each request. Throws `ColumnError`. */
export function toolCallRows(record: DataRecord): TaskRow[] {
  const requests = textsOf(record.Instructions, 'Instructions');
  const answers = record.Golden_Answers;
  if (!Array.isArray(answers) || answers.length !== requests.length)
    throw new ColumnError('Golden_Answers is not a list with an entry for each of Instructions');
  const tools = textOf(record, 'NLDocumentation').trim();
  return requests.map((request, i) => {
    const calls = callsOf(answers[i]);
    return { prompt: promptOf(tools, request), answer: JSON.stringify(calls), calls };
  });
}

function callsOf(value: unknown): ToolCall[] {
  if (!Array.isArray(value)) throw new ColumnError('an entry of Golden_Answers is not a list of calls');
  return value.map(call => {
    const { Action, Action_Input } = call as { readonly Action?: unknown; readonly Action_Input?: unknown };
    if (typeof Action !== 'string' || typeof Action_Input !== 'string')
      throw new ColumnError('a call of Golden_Answers has no Action and Action_Input');
    return { action: Action, input: Action_Input };
  });
}

function promptOf(tools: string, request: string): string {
  return (
    `You can call these functions:\n${tools}\n` +
    'getDetails: Ask the user for what is missing.\nParameters: {"Question": "string."}\n\n' +
    'Answer the request with the calls that it needs, in order, each as two lines:\n' +
    'Action: the name of the function\nAction Input: its arguments as JSON\n\n' +
    `Request: ${request}`
  );
}
