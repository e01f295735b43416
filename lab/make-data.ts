// npx tsx lab/make-data.ts: write configs/lab/data/.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataFiles } from './data-files.ts';

const directory = join(import.meta.dirname, '..', 'configs', 'lab', 'data');
mkdirSync(directory, { recursive: true });
for (const [name, content] of Object.entries(dataFiles())) {
  writeFileSync(join(directory, name), content);
  console.log(`${name}: ${content.length} bytes`);
}
