/** What killed processes had begun to write into TMS_HOME. */
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isAbandoned, isTemporaryName } from '../files/temporary-name.ts';
import type { Store } from './store.ts';

/** In the home itself, in the store and one level below each kind; what a living process writes is none. */
export function leftoversIn({ root, cache }: Store): string[] {
  const kinds = [...namesIn(root).map(name => join(root, name)), cache];
  const trainings = namesIn(join(root, 'trainings')).map(name => join(root, 'trainings', name));
  return [dirname(root), root, ...kinds, ...trainings].flatMap(folder =>
    namesIn(folder)
      .filter(name => isTemporaryName(name) && isAbandoned(name, changedAt(join(folder, name))))
      .map(name => join(folder, name)),
  );
}

/** Names in a folder; none in a file, or where there is nothing. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** When anything in it was last written. */
function changedAt(path: string): Date {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return new Date(0); // a run just renamed it
  const within = found.isDirectory() ? namesIn(path).map(name => changedAt(join(path, name))) : [];
  return within.reduce((latest, date) => (date > latest ? date : latest), found.mtime);
}
