/**
 * Files that say what a run is: its configuration, plan and surroundings, and what of its data a report shows. The ledger has their
 * digests, as it has those of what the work makes, so that a changed one is found by whoever reads it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sha256OfFile } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import { readLedger } from './ledger.ts';
import type { RunDirectory } from './run-directory.ts';

/** Replace a file and note it. */
export function writeFact(directory: RunDirectory, name: string, text: string): void {
  directory.write(name, text);
  note(directory, name, sha256OfText(text));
}

/** Write a file unless it is there as it was written; `say` hears of one that is not. */
export function keepFact(
  directory: RunDirectory,
  { name, text, say }: { readonly name: string; readonly text: string; readonly say: (line: string) => void },
): void {
  const path = directory.file(name);
  const found = existsSync(path) ? sha256OfFile(path) : null;
  const noted = directory.ledger.ofFile(name)?.sha256 ?? found; // a kill came before the ledger's line
  if (found !== null && found === noted) note(directory, name, found);
  else {
    if (found !== null) say(`${name} is not what the ledger says: it is made again`);
    writeFact(directory, name, text);
  }
}

/** Whether a file is no longer what the ledger of its run says; one that is not there, or not noted, is not. */
export function isChangedFact(directory: string, name: string): boolean {
  const path = join(directory, name);
  if (!existsSync(path)) return false;
  const { entries } = readLedger(join(directory, 'ledger.jsonl'));
  const noted = entries.findLast(entry => 'file' in entry && entry.file === name);
  return noted !== undefined && 'sha256' in noted && noted.sha256 !== sha256OfFile(path);
}

function note({ ledger }: RunDirectory, file: string, sha256: string): void {
  if (ledger.ofFile(file)?.sha256 === sha256) return;
  ledger.append({ unit: 'fact', training: 'base', step: 0, file, sha256 });
}
