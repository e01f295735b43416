// npm run check: everything about the code that can be judged without running it, and the architecture rules.
import { developmentPython, nodeTool, runSteps, type Step } from './steps.ts';

const plain = process.stdout.isTTY ? [] : ['--colors=off']; // biome colours a pipe otherwise
const python = (await developmentPython()).path;

const steps: Step[] = [
  { name: 'format and lint', command: [nodeTool('biome'), 'ci', ...plain] },
  { name: 'TypeScript types', command: [nodeTool('tsc'), '-p', '.'] },
  { name: 'unused code and packages', command: [nodeTool('knip'), '--no-progress'] },
  { name: 'generated protocol', command: [nodeTool('tsx'), 'scripts/generate-protocol.ts', '--check'] },
  { name: 'generated schema', command: [nodeTool('tsx'), 'scripts/generate-schema.ts', '--check'] },
  { name: 'architecture', command: [nodeTool('vitest'), 'run', 'test/architecture.test.ts'] },
  { name: 'Python lint', command: [python, '-m', 'ruff', 'check'] },
  { name: 'Python format', command: [python, '-m', 'ruff', 'format', '--check'] },
  { name: 'Python types', command: [python, '-m', 'pyright', '--pythonpath', python] },
];

process.exit(runSteps(steps) ? 0 : 1);
