// npm run format: put everything into the one accepted form, configs/schema.json included, and mend what the linters can mend by themselves.
import { developmentPython, nodeTool, runSteps } from './steps.ts';

const python = (await developmentPython()).path;

const isOk = runSteps([
  { name: 'generated schema', command: [nodeTool('tsx'), 'scripts/generate-schema.ts'] },
  { name: 'TypeScript and JSON', command: [nodeTool('biome'), 'check', '--write'] },
  { name: 'Python lint', command: [python, '-m', 'ruff', 'check', '--fix'] },
  { name: 'Python format', command: [python, '-m', 'ruff', 'format'] },
]);

process.exit(isOk ? 0 : 1);
