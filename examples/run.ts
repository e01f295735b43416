/**
 * A run from a program: what it would do, then what came out, as one number.
 *
 *     npx tsx examples/run.ts CONFIG [KEY=VALUE …]
 */
import { loadConfig, plan, run } from '../src/index.ts'; // in a project of yours: from 'tms'

const [file = 'examples/my-method.yaml', ...sets] = process.argv.slice(2);
const config = await loadConfig(file, sets);
const { trainings } = await plan(config);
for (const [name, { label, steps }] of Object.entries(trainings))
  console.log(`${name}: ${label}, ${steps} steps`);
const { evaluations } = await run(config);
const accuracy = evaluations.at(-1)?.sets[0]?.accuracy;
console.log(`accuracy at the end: ${accuracy}`);
