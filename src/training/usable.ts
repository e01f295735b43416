/** Whether an answer can be learnt from. */
import type { AnswerRecord } from '../run/records.ts';

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
