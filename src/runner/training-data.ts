/** The data of a run as its trainings ask for them. */
import { createHash } from 'node:crypto';
import type { RunConfig } from '../config/schema.ts';
import type { Selection } from '../data/dataset.ts';
import type { Example } from '../data/example.ts';
import { idText, idWords } from '../data/example-index.ts';
import { ExampleReader } from '../data/example-reader.ts';
import { framedExample, saidIn } from '../data/frame.ts';
import type { LengthReport } from '../data/lengths.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { Sequences, TrainingData } from '../training/run.ts';
import type { Worker } from '../worker/worker.ts';
import type { encodeData } from './encode-data.ts';

/** A data file as ids, with the name of what it was made from. */
export type Encoded = Awaited<ReturnType<typeof encodeData>>;

/** The examples that a training learns from, with the name that they have in recipes. */
export function sequencesOf(
  { max_length }: RunConfig,
  { key, tokens }: Encoded,
  { usable }: LengthReport,
): Sequences {
  const rows = createHash('sha256').update(usable).digest('hex');
  // A limit that cuts nothing makes no other data.
  const longest = usable.reduce((most, row) => Math.max(most, tokens.lengths[row] as number), 0);
  return { tokens, rows: usable, digest: sha256OfRecord([key, rows, Math.min(longest, max_length)]) };
}

/** Examples as ids. */
export type EncodePrompts = (examples: readonly Example[]) => Promise<Int32Array[]>;

/** As the data file is encoded. */
export function encoderOf(
  { chat_template_kwargs: templateOptions, split_special_tokens }: RunConfig,
  worker: Worker,
  { template: chatTemplate, date }: { readonly template: string | null; readonly date: string },
): EncodePrompts {
  const options = { chatTemplate, templateOptions, splitSpecialTokens: split_special_tokens ?? true, date };
  return async examples => (await worker.encode(examples, options)).sequences.map(({ ids }) => ids);
}

/** What trainings ask of the data: ids, names, questions, prompts in a frame. */
export function trainingData(
  { index }: Selection,
  config: RunConfig,
  sequences: Sequences,
  encode: EncodePrompts,
): TrainingData {
  const rowOf = (example: number) => sequences.rows[example] as number;
  return {
    ...sequences,
    framed: async (examples, frame) => {
      const reader = await ExampleReader.open(index, config);
      try {
        const found: Example[] = [];
        for (const example of examples) found.push(framedExample(await reader.read(rowOf(example)), frame));
        return await encode(found);
      } finally {
        await reader.close();
      }
    },
    idOf: example => idWords(index, rowOf(example)),
    idTextOf: example => idText(index, rowOf(example)),
    questionOf: async example => {
      const reader = await ExampleReader.open(index, config);
      try {
        const found = await reader.readRecord(rowOf(example));
        return {
          ...found.example,
          ...found,
          id: idText(index, rowOf(example)),
          gold: saidIn(found.example),
        };
      } finally {
        await reader.close();
      }
    },
  };
}
