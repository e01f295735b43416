/** A prompt with a text of ours around what is asked, for a model that is to see more than the question. Pure. */
import type { Example } from './example.ts';

/** `{prompt}` and `{answer}` stand for what is asked and its gold answer; in a chat the last message of the user is framed. */
export function framedExample({ prompt, completion, tools }: Example, frame: string): Example {
  const gold = saidIn({ completion }) ?? '';
  const fill = (asked: string) =>
    frame.replace(/\{prompt\}|\{answer\}/g, place => (place === '{prompt}' ? asked : gold));
  const common = { completion: null, ...(tools !== undefined && { tools }) };
  if (typeof prompt === 'string') return { prompt: fill(prompt), ...common };
  const last = prompt.findLastIndex(({ role }) => role === 'user');
  const messages = prompt.map((message, i) =>
    i === last ? { ...message, content: fill(message.content ?? '') } : message,
  );
  return { prompt: messages, ...common };
}

/** The text of a completion; of a chat what its last message says. */
export function saidIn({ completion }: Pick<Example, 'completion'>): string | null {
  return typeof completion === 'string' ? completion : (completion?.at(-1)?.content ?? null);
}
