// npm test: both test suites, on an environment that is made if there is none.
import { temporaryRoot } from '../test/support/temporary-root.ts';
import { developmentPython, nodeTool, runSteps } from './steps.ts';

const python = (await developmentPython()).path;
process.env.TMS_PYTHON = python; // the tests take the same one
process.env.TMPDIR = temporaryRoot();

const isOk = runSteps([
  { name: 'TypeScript tests', command: [nodeTool('vitest'), 'run'] },
  { name: 'Python tests', command: [python, '-m', 'pytest', '-n', '2', '--dist', 'loadfile'] },
]);

process.exit(isOk ? 0 : 1);
