// Adds up the closing lines of vitest and of pytest on both torch versions into the last line of CI. Fails when one is missing.
import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

const lines = stripVTControlCharacters(readFileSync(process.argv[2], 'utf8')).split('\n');
const vitest = lines.filter(line => /^\s*Tests\s+\d/.test(line));
const pytest = lines.filter(line => /^=*\s*\d+ (passed|failed|skipped|error).* in [\d.]+s/.test(line));
const closing = [...vitest, ...pytest];
if (vitest.length === 0 || pytest.length < 2) {
  console.log(`vitest closed ${vitest.length} times, pytest ${pytest.length} times`);
  console.log('0 passed, 1 failed');
  process.exit(1);
}
const count = pattern => closing.reduce((sum, line) => sum + Number(pattern.exec(line)?.[1] ?? 0), 0);
const failed = count(/(\d+) failed/) + count(/(\d+) errors?/);
const skipped = count(/(\d+) skipped/);
console.log(`${count(/(\d+) passed/)} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
