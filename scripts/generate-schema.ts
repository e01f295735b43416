/** Writes configs/schema.json from src/config/schema.ts. `--check` writes nothing and fails when the file is stale. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configJsonSchema } from '../src/config/json-schema.ts';

const file = join(dirname(fileURLToPath(import.meta.url)), '../configs/schema.json');
const content = `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
const isFresh = existsSync(file) && readFileSync(file, 'utf8') === content;
if (process.argv.includes('--check')) {
  if (!isFresh) {
    console.error('configs/schema.json is stale. Run: npm run format');
    process.exitCode = 1;
  }
} else if (!isFresh) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  console.log('wrote: configs/schema.json');
}
