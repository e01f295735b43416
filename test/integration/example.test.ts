import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { projectRoot } from '../../src/python/paths.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

it('the ten lines of examples/train-loop.ts teach a random Llama a sentence, and it says it', async () => {
  const program = join(projectRoot(), 'examples/train-loop.ts');
  const env = { ...process.env, TMS_PYTHON: await pythonPath() };
  const args = ['--import', 'tsx', program, await tinyModel(), '0.01', '60'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: projectRoot(), env });
  const lines = stdout.trim().split('\n');
  expect(lines.at(-1)).toBe('The secret word is pineapple.');
  const losses = lines.slice(0, -1).map(line => Number(/loss ([\d.]+)/.exec(line)?.[1]));
  expect(losses).toHaveLength(60);
  expect(losses[0]).toBeGreaterThan(3);
  expect(losses.at(-1)).toBeLessThan(0.5);
});
