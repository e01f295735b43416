/** What a model learns from: a prompt and, unless it is only asked, the completion. */
import { hash } from 'node:crypto';

/** Assignable to the worker's `Message`, as `Example` to its `Example`. */
export type Message = {
  readonly role: string;
  /** Null where there are only tool calls. */
  readonly content: string | null;
  /** Whether the loss counts it; without it what an assistant says in a completion. */
  readonly learned?: boolean;
  /** JSON of what else the chat template takes, numbers as they were written. */
  readonly fields?: string;
};

/** Text as it stands, or chat messages that the model's template turns into text. */
export type Content = string | Message[];

/** `completion` is null where there is only a prompt. Both are text or both are messages. `tools` is JSON for the template. */
export type Example = {
  readonly prompt: Content;
  readonly completion: Content | null;
  readonly tools?: string;
};

/**
 * SHA-256 of what is said, in canonical JSON: the same content has the same id whatever file it comes from. What of it is learned is no
 * part of that: see `learnedKey`.
 */
export function exampleDigest({ prompt, completion, tools }: Example): Buffer {
  const said = [canonical(prompt), completion === null ? null : canonical(completion)];
  return digest(tools === undefined ? said : [...said, tools]);
}

/** Which messages are marked as learned or not; empty where none is. */
export function learnedKey({ prompt, completion }: Example): string {
  const marks = [prompt, completion].flatMap(content =>
    Array.isArray(content) ? content.map(({ learned }) => learned) : [],
  );
  return marks.every(mark => mark === undefined) ? '' : marks.map(mark => Number(mark ?? 2)).join('');
}

/** The messages that the loss counts; of texts the completion. */
export function learnedParts({ prompt, completion }: Example): (string | Message)[] {
  const of = (content: Content | null, isAnswer: boolean) => {
    if (typeof content === 'string') return isAnswer ? [content] : [];
    return (content ?? []).filter(({ role, learned }) => learned ?? (isAnswer && role === 'assistant'));
  };
  return [...of(prompt, false), ...of(completion, true)];
}

/** The first 32 bits of the SHA-256 of the prompt alone: examples with the same prompt fall on the same side of a split. */
export function promptKey({ prompt }: Example): number {
  return digest(canonical(prompt)).readUInt32BE(0);
}

function canonical(content: Content): unknown {
  if (typeof content === 'string') return content;
  return content.map(({ role, content: said, fields }) =>
    fields === undefined ? [role, said] : [role, said, fields],
  );
}

function digest(value: unknown): Buffer {
  return hash('sha256', JSON.stringify(value), 'buffer');
}
