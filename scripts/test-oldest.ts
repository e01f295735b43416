// npm run test:oldest [-- pytest's arguments]: the worker's tests on the oldest torch and transformers that it runs on.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { installedUv } from '../src/python/install.ts';
import { temporaryRoot } from '../test/support/temporary-root.ts';
import { developmentPython, runSteps } from './steps.ts';

process.env.TMPDIR = temporaryRoot();
const folder = '.venv-oldest';
const python = join(folder, 'bin/python');
const base = (await developmentPython()).path;
const uv = installedUv(process.env) ?? join(dirname(base), 'uv'); // where earlier set-ups put one

const isReady =
  (existsSync(python) ||
    runSteps([{ name: 'environment', command: [uv, 'venv', '--python', base, folder] }])) &&
  runSteps([
    {
      name: 'packages',
      command: [uv, 'pip', 'install', '--quiet', '--python', python, '-r', 'requirements-oldest.txt'],
    },
  ]);
const isOk =
  isReady &&
  runSteps([
    {
      name: 'Python tests, oldest versions',
      command: [python, '-m', 'pytest', '-q', ...process.argv.slice(2)],
    },
  ]);

process.exit(isOk ? 0 : 1);
