/** What an item of the store stands for, in words; its name is only a digest. */
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readRecord } from '../files/read-record.ts';
import { readFinishedStage, type Store, type StoreItem } from './store.ts';

/** One line for a person, such as `456 steps, learning rate 0.0001, 24 epochs, 10 checkpoints, base 1a2b3c4d`. */
export async function describeItem(store: Store, { kind, name, path }: StoreItem): Promise<string> {
  if (kind === 'sft') return describeStage(store, name);
  if (kind === 'cache')
    return name.startsWith('tokens-') ? 'token ids of a data set' : 'a data file, unpacked';
  if (kind === 'unfinished') return 'left by a process that was killed';
  return kind === 'answers' ? counted(await lineCount(path), 'answer') : describeEvaluation(path);
}

/** What is read of a recipe; a key that another version wrote differently is left out. */
const recipe = z.object({
  base: z.string().optional().catch(undefined),
  schedule: z
    .object({
      learning_rate: z.number().optional().catch(undefined),
      num_train_epochs: z.number().optional().catch(undefined),
    })
    .catch({}),
  adapter: z.object({ r: z.int() }).nullish().catch(null),
});

function describeStage(store: Store, key: string): string {
  const folder = join(store.root, 'sft', key);
  if (!statSync(folder).isDirectory()) return 'nothing of tms';
  const checkpoints = readdirSync(folder).filter(name => /^step-\d+$/.test(name));
  const kept = counted(checkpoints.length, 'checkpoint');
  const stage = readFinishedStage(store, key);
  if (stage === null) return `not finished, ${kept}`;
  const { base, schedule, adapter } = recipe.safeParse(stage.recipe).data ?? { schedule: {} };
  const { learning_rate, num_train_epochs } = schedule;
  return [
    counted(stage.steps, 'step'),
    ...(learning_rate === undefined ? [] : [`learning rate ${learning_rate}`]),
    ...(num_train_epochs === undefined ? [] : [counted(num_train_epochs, 'epoch')]),
    ...(adapter ? [`LoRA r ${adapter.r}`] : []),
    kept,
    ...(base === undefined ? [] : [`base ${base.slice(0, 8)}`]),
  ].join(', ');
}

const evaluation = z.object({ training: z.string(), step: z.int() });

function describeEvaluation(path: string): string {
  const found = readRecord(path, evaluation).value;
  return found === null ? 'unreadable' : `${found.training} at step ${found.step}`;
}

async function lineCount(path: string): Promise<number> {
  if (!existsSync(path)) return 0;
  let lines = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>)
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, at + 1)) lines++;
  return lines;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
