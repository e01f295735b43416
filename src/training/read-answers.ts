/** A file of answers as a stream, some at a time. */
import { readTextLines } from '../data/json-lines.ts';
import { type AnswerRecord, answerRecord } from '../run/records.ts';

const answersAtOnce = 256;

export async function* readAnswers(path: string): AsyncGenerator<AnswerRecord[]> {
  let records: AnswerRecord[] = [];
  for await (const line of readTextLines(path)) {
    records.push(answerRecord.parse(JSON.parse(line)));
    if (records.length < answersAtOnce) continue;
    yield records;
    records = [];
  }
  if (records.length > 0) yield records;
}

// Whether an answer can be learnt from.

/** Why an answer is not one to learn from, null where it is: it has no end, or nothing before its end. */
export function faultOf(
  { stopIds }: { readonly stopIds: readonly number[] },
  {
    ids,
    finishReason,
  }: { readonly ids: readonly number[]; readonly finishReason: AnswerRecord['finishReason'] },
): 'unfinished' | 'empty' | null {
  if (finishReason === 'length') return 'unfinished';
  return ids.some(id => !stopIds.includes(id)) ? null : 'empty';
}
