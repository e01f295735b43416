/** What an item of the store stands for, in words; its name is only a digest. */
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readRecord } from '../files/read-record.ts';
import { describedTraining, type Store, type StoreItem } from './store.ts';

/** One line for a person, such as `456 steps, learning rate 0.0001, 24 epochs, 10 checkpoints, base 1a2b3c4d`. */
export async function describeItem(store: Store, { kind, name, path }: StoreItem): Promise<string> {
  if (kind === 'trainings') return describeStage(store, name);
  if (kind === 'cache')
    return name.startsWith('tokens-') ? 'token ids of a data set' : 'a data file, unpacked';
  if (kind === 'unfinished') return 'left by a process that was killed';
  return kind === 'answers' ? counted(await lineCount(path), 'answer') : describeEvaluation(path);
}

/** What is read of a recipe; a key that another version wrote differently is left out. */
const recipe = z.object({
  from: z.string().optional().catch(undefined),
  schedule: z.object({ peak: z.number().optional().catch(undefined) }).catch({}),
  adapter: z.object({ r: z.int() }).nullish().catch(null),
});

function describeStage(store: Store, key: string): string {
  const folder = join(store.root, 'trainings', key);
  if (!statSync(folder).isDirectory()) return 'nothing of tms';
  const checkpoints = readdirSync(folder).filter(name => /^step-\d+$/.test(name));
  const kept = counted(checkpoints.length, 'checkpoint');
  const training = describedTraining(store, key);
  if (training === null) return `not finished, ${kept}`;
  const { from, schedule, adapter } = recipe.safeParse(training.recipe).data ?? { schedule: {} };
  const { peak } = schedule;
  return [
    counted(training.steps, 'step'),
    ...(peak === undefined ? [] : [`learning rate ${peak}`]),
    ...(adapter ? [`LoRA r ${adapter.r}`] : []),
    kept,
    ...(from === undefined ? [] : [`from ${from.slice(0, 13)}`]),
  ].join(', ');
}

const evaluation = z.object({ record: z.object({ training: z.string(), step: z.int() }) });

function describeEvaluation(path: string): string {
  const found = readRecord(path, evaluation).value;
  return found === null ? 'unreadable' : `${found.record.training} at step ${found.record.step}`;
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
