import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { projectRoot } from '../../src/python/paths.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
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

it('examples/run.ts plans and runs the method of examples/my-method.ts on the lab model, and prints its accuracy', async () => {
  const folder = temporaryDirectory();
  const [output, home] = [join(folder, 'out'), join(folder, 'home')];
  const env = { ...process.env, TMS_PYTHON: await pythonPath(), TMS_HOME: home };
  const program = join(projectRoot(), 'examples/run.ts');
  const sets = ['num_train_epochs=1', 'kl.size=0', 'pld.size=4'];
  const args = ['--import', 'tsx', program, 'examples/my-method.yaml', `output_dir=${output}`, ...sets];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: projectRoot(), env });
  const { sets: measured } = JSON.parse(
    readFileSync(join(output, 'evaluation/then-gold-step-000019.json'), 'utf8'),
  );
  const right = measured[0].items.filter((item: { isCorrect: boolean }) => item.isCorrect).length;
  expect(stdout.trim().split('\n')).toEqual([
    'own: own answers, 19 steps',
    'then-gold: own, then gold, 19 steps',
    `accuracy at the end: ${right / 100}`,
  ]);
  expect(right).toBeGreaterThan(0);
});
