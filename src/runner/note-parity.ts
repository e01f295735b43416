/** What a run says of how near its samplers were to its trainer. */
import { readRecord } from '../files/read-record.ts';
import { writeFact } from '../run/facts.ts';
import { environmentRecord } from '../run/records.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import { describeParity } from '../training/parity.ts';
import type { Samplers } from '../training/samplers.ts';

const mark = 'Samplers against the trainer, on fixed sequences after every load: ';

/** Write into environment.json, and so into the report, how far samplers were from the trainer since the run began or went on. */
export function noteParity(directory: RunDirectory, samplers: Samplers | null): void {
  const parity = samplers?.parity ?? null;
  const { value: environment } = readRecord(directory.file('environment.json'), environmentRecord);
  if (parity === null || environment === null) return;
  const notes = [
    ...environment.notes.filter(note => !note.startsWith(mark)),
    `${mark}${describeParity(parity)}.`,
  ];
  writeFact(directory, 'environment.json', `${JSON.stringify({ ...environment, notes }, null, 2)}\n`);
}
