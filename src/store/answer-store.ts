/** Sampled answers of one set of weights under one way of sampling, by prompt and seed; lines are only ever added. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { appendDurably } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import type { AnswerRecord } from '../run/records.ts';
import { touch } from './in-use.ts';

const line = z.tuple([z.string(), z.array(z.int()), z.enum(['stop', 'stop_text', 'length'])]);

/** `ids` with the stop id that ended them; of an answer that a stop text ended, those before it. */
export type StoredAnswer = {
  readonly ids: readonly number[];
  readonly finishReason: AnswerRecord['finishReason'];
};

export type AnswerStore = {
  get(key: string): StoredAnswer | undefined;
  add(answers: ReadonlyMap<string, StoredAnswer>): void;
};

/** What an answer hangs on besides weights and sampling, which name the file. */
export function answerKey(promptIds: ArrayLike<number>, seed: number): string {
  return sha256OfText(`${Array.from(promptIds).join(' ')}|${seed}`).slice(0, 32);
}

/** Lines that do not match their checksum count as absent. */
export function openAnswerStore(path: string): AnswerStore {
  const known = new Map<string, StoredAnswer>();
  touch(path);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  for (const row of text.split('\n')) {
    const parsed = parseRow(row);
    if (parsed) known.set(parsed[0], { ids: parsed[1], finishReason: parsed[2] });
  }
  return {
    get: key => known.get(key),
    add(answers) {
      const rows = [...answers].map(([key, { ids, finishReason }]) =>
        rowOf(JSON.stringify([key, ids, finishReason])),
      );
      // A line that a crash cut short must not swallow the first of ours.
      appendDurably(path, `${text === '' || text.endsWith('\n') ? '' : '\n'}${rows.join('')}`);
      for (const [key, answer] of answers) known.set(key, answer);
    },
  };
}

function rowOf(text: string): string {
  return `${sha256OfText(text).slice(0, 8)} ${text}\n`;
}

function parseRow(row: string): z.infer<typeof line> | null {
  const text = row.slice(9);
  if (row.length < 10 || sha256OfText(text).slice(0, 8) !== row.slice(0, 8)) return null;
  return line.safeParse(JSON.parse(text)).data ?? null;
}
