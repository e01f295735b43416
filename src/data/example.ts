/** What a model learns from: a prompt and, unless it is only asked, the completion. */
import { hash } from 'node:crypto';

export type Message = { readonly role: string; readonly content: string };

/** Text as it stands, or chat messages that the model's template turns into text; assignable to the worker's `Example`. */
export type Content = string | Message[];

/** `completion` is null where there is only a prompt. Both are text or both are messages. */
export type Example = { readonly prompt: Content; readonly completion: Content | null };

/** SHA-256 of prompt and completion in canonical JSON: the same content has the same id whatever file it comes from. */
export function exampleDigest({ prompt, completion }: Example): Buffer {
  return digest([canonical(prompt), completion === null ? null : canonical(completion)]);
}

/** The first 32 bits of the SHA-256 of the prompt alone: examples with the same prompt fall on the same side of a split. */
export function promptKey({ prompt }: Example): number {
  return digest(canonical(prompt)).readUInt32BE(0);
}

function canonical(content: Content): unknown {
  return typeof content === 'string' ? content : content.map(({ role, content: said }) => [role, said]);
}

function digest(value: unknown): Buffer {
  return hash('sha256', JSON.stringify(value), 'buffer');
}
