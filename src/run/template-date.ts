/** The day that chat templates take for today: one for the whole of a run, whenever it is gone on with. */
import { join } from 'node:path';
import { readRecord } from '../files/read-record.ts';
import { runRecord } from './records.ts';

/** The day that was asked for (`chat_template_date`), that on which the run in `outputDir` began, or today. */
export function templateDateOf(asked: string | null, outputDir: string): string {
  return asked ?? readRecord(join(outputDir, 'run.json'), runRecord).value?.templateDate ?? today();
}

/** By the clock and the time zone of this machine, as people there write it down. */
function today(): string {
  const now = new Date();
  const parts = [now.getFullYear(), now.getMonth() + 1, now.getDate()];
  return parts.map(part => String(part).padStart(2, '0')).join('-');
}
