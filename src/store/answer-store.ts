/** Sampled answers of one set of weights under one way of sampling, by prompt and seed; lines are only ever added. */
import { closeSync, existsSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { appendDurably } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import type { AnswerRecord } from '../run/records.ts';
import { AnswerIndex } from './answer-index.ts';
import { touch } from './in-use.ts';

const line = z.tuple([z.hex().length(32), z.array(z.int()), z.enum(['stop', 'stop_text', 'length'])]);

/** `ids` with the stop id that ended them; of an answer that a stop text ended, those before it. */
export type StoredAnswer = {
  readonly ids: readonly number[];
  readonly finishReason: AnswerRecord['finishReason'];
};

/** What an answer hangs on besides weights and sampling, which name the file. */
export function answerKey(promptIds: ArrayLike<number>, seed: number): string {
  return sha256OfText(`${Array.from(promptIds).join(' ')}|${seed}`).slice(0, 32);
}

const newline = 0x0a;
const bytesAtOnce = 1 << 20;

/** Answers by key; they stay on disk, at most 75 bytes of memory hold the place of each. Lines that do not match their checksum count as absent. */
export class AnswerStore {
  readonly #path: string;
  readonly #places = new AnswerIndex();
  #indexed = 0;

  constructor(path: string) {
    this.#path = path;
    touch(path);
    this.#index();
  }

  has(key: string): boolean {
    return (this.#places.get(key)?.length ?? 0) > 0;
  }

  get(key: string): StoredAnswer | undefined {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    const parsed = this.#reading(handle => parseRow(readAt(handle, place.start, place.length).toString()));
    return parsed ? { ids: parsed[1], finishReason: parsed[2] } : undefined;
  }

  add(answers: ReadonlyMap<string, StoredAnswer>): void {
    const rows = [...answers].map(([key, { ids, finishReason }]) =>
      rowOf(JSON.stringify([key, ids, finishReason])),
    );
    // A line that a crash cut short must not swallow the first of ours.
    const isTorn = this.#reading(handle => {
      const { size } = fstatSync(handle);
      return size > 0 && readAt(handle, size - 1, 1)[0] !== newline;
    });
    appendDurably(this.#path, `${isTorn ? '\n' : ''}${rows.join('')}`);
    this.#index();
  }

  /** Make them absent again, for others too: their lines lose their checksums. */
  forget(keys: Iterable<string>): void {
    const handle = openSync(this.#path, 'r+');
    try {
      for (const key of keys) {
        const place = this.#places.get(key);
        if (place === undefined || place.length === 0) continue;
        writeSync(handle, '#'.repeat(place.length), place.start);
        this.#places.set(key, { start: place.start, length: 0 });
      }
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }

  /** Note what has been added since, by others too. */
  #index(): void {
    this.#reading(handle => {
      let rest: Buffer = Buffer.alloc(0);
      for (let at = this.#indexed; ; ) {
        const chunk = readAt(handle, at, bytesAtOnce);
        if (chunk.length === 0) return;
        at += chunk.length;
        rest = this.#indexLines(Buffer.concat([rest, chunk]));
      }
    });
  }

  /** Notes whole lines and returns what is behind the last. */
  #indexLines(bytes: Buffer): Buffer {
    let start = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      const parsed = parseRow(bytes.subarray(start, end).toString());
      if (parsed) this.#places.set(parsed[0], { start: this.#indexed, length: end - start });
      this.#indexed += end - start + 1;
      start = end + 1;
    }
    return bytes.subarray(start);
  }

  #reading<T>(work: (handle: number) => T): T | undefined {
    if (!existsSync(this.#path)) return undefined;
    const handle = openSync(this.#path, 'r');
    try {
      return work(handle);
    } finally {
      closeSync(handle);
    }
  }
}

function readAt(handle: number, start: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  return bytes.subarray(0, readSync(handle, bytes, 0, length, start));
}

function rowOf(text: string): string {
  return `${sha256OfText(text).slice(0, 8)} ${text}\n`;
}

function parseRow(row: string): z.infer<typeof line> | null {
  const text = row.slice(9);
  if (row.length < 10 || sha256OfText(text).slice(0, 8) !== row.slice(0, 8)) return null;
  return line.safeParse(JSON.parse(text)).data ?? null;
}
