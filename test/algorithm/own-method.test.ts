/** A method of the user's own, read from its file: what its trainings learn, where they stand in the report, when the file is an input. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { importMethod } from '../../src/config/import-method.ts';
import { parseConfig } from '../../src/config/load.ts';
import { readResults } from '../../src/report/results.ts';
import { finalTable } from '../../src/report/table.ts';
import { askedIn, type Learned, stepsOf } from '../support/recorded-calls.ts';
import { interruptedRun, readRecord, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { batchesOf, idsOf, learned } from '../support/reference.ts';
import {
  examples,
  expectGradients,
  expectUnbroken,
  goldBatches,
  saySet,
  smallFacts,
  smallRun,
} from '../support/small-run.ts';

const folder = workFolder();
const example = resolve('examples/my-method.ts');

const own = (keys: Settings = {}) => {
  const { tms, ...rest } = smallRun(folder, { method: example });
  return { ...rest, own_answers_first: { epochs: 1, max_new_tokens: 9 }, ...keys };
};

/** The example in .mjs form, without an import; `and` goes into it as it is. */
let files = 0;
function methodFile(text: string, ending = 'mjs'): string {
  const place = join(folder, `method-${files++}`);
  mkdirSync(place);
  const path = join(place, `mine.${ending}`);
  writeFileSync(path, text);
  return path;
}
const plain = (name: string, more = '') => `import { label } from './label.mjs';
export default {
  name: '${name}',
  title: 'gold, under another name.',
  plan({ training }) {
    const plan = training({ label, role: 'method' });
    return { trainings: { '${name}': { ...plan, checkpoints: [plan.steps] } } };
  },
  async run({ trainer }) {
    ${more}
    await trainer.training('${name}', { from: trainer.base, on: trainer.gold }).finish();
  },
};
`;
function plainMethod(name: string): string {
  const path = methodFile(plain(name));
  writeFileSync(join(path, '../label.mjs'), `export const label = 'mine and gold';\n`);
  return path;
}
const plainRun = (method: string) => {
  const { tms, ...rest } = smallRun(folder, { method });
  return rest;
};

describe('examples/my-method.ts', () => {
  it('learns the base’s greedy answers, then the references, from where that ended', async () => {
    const run = await recordRun(folder, own());
    const steps = stepsOf(run.calls);
    const [first, second] = [steps.slice(0, 3), steps.slice(3)];
    expect(steps).toHaveLength(3 + 9);
    const base = run.calls[0]?.weights ?? '';
    const asked = askedIn(run.calls).filter(
      ({ weights, params }) => weights === base && params.maxNewTokens === 9,
    );
    expect(asked.map(({ params }) => params.temperature)).toEqual(asked.map(() => 0));
    const answers = new Map(asked.map(({ prompt, answer }) => [String(prompt), learned(prompt, answer)]));
    const batches = batchesOf(7, { count: 10, batch: 4, steps: 3 });
    const answerTo = ({ example }: { example: number }) =>
      answers.get(String(idsOf(examples[example]?.prompt ?? ''))) as Learned;
    expectGradients(
      first,
      batches.map(visits => visits.map(answerTo)),
    );
    expectUnbroken(first, base);
    expectGradients(second, goldBatches(smallFacts, 9));
    expectUnbroken(second, first.at(-1)?.after ?? '');
  });

  it('stands in the table of the report by its labels', async () => {
    const set = saySet(folder, { count: 10, limit: 4 });
    const { output } = await recordRun(folder, own({ eval: { sets: [set] } }));
    const rows = finalTable(await readResults(output)).map(line => line.split(' @')[0]?.trim());
    expect(rows).toEqual(expect.arrayContaining(['own answers', 'own, then gold']));
    expect(readRecord(output, 'plan.json').methods['own-answers-first'].answers).toBe(10);
    expect(readRecord(output, 'run.json')).toMatchObject({
      method: example,
      methodDigest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('has a configuration beside it that is right', async () => {
    const text = readFileSync('examples/my-method.yaml', 'utf8');
    const { method } = parse(text);
    expect(resolve(method)).toBe(example);
    await importMethod(method);
    expect(parseConfig(text, 'my-method.yaml')).toMatchObject({
      own_answers_first: { epochs: 1, max_new_tokens: 20 },
    });
  });
});

describe('a method from a file', () => {
  it('runs as .mjs without an import of tms', async () => {
    const run = await recordRun(folder, plainRun(plainMethod('plain')));
    expectGradients(stepsOf(run.calls), goldBatches(smallFacts, 9));
  });

  it.each(['mine.mjs', 'label.mjs'])(
    'is not resumed after an edit of %s; and is after the edit is undone',
    async edited => {
      const method = plainMethod(`edited-${edited.split('.')[0]}`);
      const { home, settings } = await interruptedRun(folder, plainRun(method), {
        verb: 'optimStep',
        count: 5,
      });
      const path = join(method, '..', edited);
      const before = readFileSync(path, 'utf8');
      writeFileSync(path, `${before}// another\n`);
      await expect(recordRun(folder, settings, { home, resume: true })).rejects.toMatchObject({
        message: `${settings.output_dir} cannot be resumed: the method ${method}, or a file that it imports, changed since it began`,
        exitCode: 3,
      });
      writeFileSync(path, before);
      const run = await recordRun(folder, settings, { home, resume: true });
      expect(readRecord(run.output, 'run.json').status).toBe('finished');
    },
  );

  it('shares its trainings with later runs, until the file is edited', async () => {
    const method = plainMethod('shared');
    const home = join(folder, 'shared-home');
    const steps = async () => stepsOf((await recordRun(folder, plainRun(method), { home })).calls).length;
    expect(await steps()).toBe(9);
    expect(await steps()).toBe(0);
    writeFileSync(method, plain('shared', '/* another */'));
    expect(await steps()).toBe(9);
  });

  it('that fails in its own code is named, and is no bug of tms', async () => {
    const method = methodFile(plain('failing', 'null.x;').replace(/import.*\n/, "const label = 'l';\n"));
    await expect(recordRun(folder, plainRun(method))).rejects.toMatchObject({
      name: 'TmsError',
      message: `the method ${method} failed in run: Cannot read properties of null (reading 'x')`,
    });
  });

  const finishes = (name: string) =>
    `await trainer.training('${name}', { from: trainer.base, on: trainer.gold })`;
  it.each([
    [
      'begins a training that it did not plan',
      'unplanned',
      `${finishes('plan-less')}.finish();`,
      'the method unplanned asks for a training plan-less that it did not plan',
      /it planned unplanned:/,
    ],
    [
      'takes a training of another method of the run',
      'taking',
      `${finishes('base-answers')}.finish();`,
      'the method taking asks for a training base-answers that it did not plan',
      /it planned taking:/,
    ],
    [
      'stops a training before its end',
      'early',
      `${finishes('early')}.to(4); return;`,
      'the method early planned early, and did not train to the end',
      /training\("early", …\)\.finish\(\)/,
    ],
    [
      'never begins a training that it planned',
      'idle',
      'return;',
      'the method idle planned idle, and did not train to the end',
      /leave it out of its plan/,
    ],
  ])('that %s is refused by name, and the run has failed', async (_, name, code, message, fix) => {
    const method = methodFile(plain(name, code).replace(/import.*\n/, "const label = 'l';\n"));
    const output = join(folder, name);
    const settings = { ...plainRun(method), output_dir: output, controls: { base_samples: true } };
    await expect(recordRun(folder, settings)).rejects.toMatchObject({
      name: 'TmsError',
      message,
      fix: expect.stringMatching(fix),
    });
    expect(readRecord(output, 'run.json')).toMatchObject({ status: 'failed', error: message });
  });

  it.each([
    ['big-one', "'Big One'", /names a training "Big One"/],
    ['the-base', "'base'", /names a training "base"/],
  ])('of name %s is refused a training named %s', async (method, name, message) => {
    const text = plain(method)
      .replace(`{ '${method}'`, `{ ${name}`)
      .replace(/import.*\n/, "const label = 'l';\n");
    await expect(recordRun(folder, plainRun(methodFile(text)))).rejects.toThrow(message);
  });
});

describe('what is refused before anything is read', () => {
  const right = plain('right').replace(/import.*\n/, "import { z } from 'zod';\nconst label = 'l';\n");
  cpSync('node_modules/zod', join(folder, 'node_modules/zod'), { recursive: true });

  it.each([
    ['a syntax error', 'export default {', /cannot be imported: /],
    ['an import that is not there', "import './none.mjs';", /cannot be imported: Cannot find module/],
    ['no default export', 'export const a = 1;', /has no default export that is a method/],
    ['no plan', right.replace('plan(', 'plans('), /has no plan, or one that is no function/],
    ['no run', right.replace('async run(', 'async runs('), /has no run, or one that is no function/],
    ['no name', right.replace("name: 'right',", ''), /has no name, or one that is no string/],
    ['a bad name', right.replace("name: 'right'", "name: 'My Method'"), /is named "My Method"/],
    [
      'the name of ours',
      right.replace("name: 'right'", "name: 'tms'"),
      /is named tms, as a method that comes with tms/,
    ],
    [
      'settings that must be given',
      right.replace('plan(', 'settings: z.strictObject({ a: z.number() }),\nplan('),
      /the settings of the method .* cannot be left out/,
    ],
    [
      'settings that take anything',
      right.replace('plan(', 'settings: z.object({ a: z.number().default(1) }).prefault({}),\nplan('),
      /take keys that they do not know/,
    ],
  ])('%s', async (_, text, message) => {
    const path = methodFile(text);
    const refused = importMethod(path);
    await expect(refused).rejects.toMatchObject({ message: expect.stringMatching(message), exitCode: 3 });
    await expect(refused).rejects.toMatchObject({
      message: expect.stringContaining(path),
      fix: expect.any(String),
    });
  });

  it('a file that is not there, or of another kind', async () => {
    await expect(importMethod('./none.ts')).rejects.toThrow(`there is no file ${resolve('none.ts')}`);
    await expect(importMethod('./README.md')).rejects.toThrow('a file of another kind');
  });

  it('a key that its block does not have, and its block beside another method', async () => {
    await importMethod(example);
    const text = (method: string, key: string) =>
      `model_name_or_path: m\ndataset_name: d\noutput_dir: o\nmethod: ${method}\nown_answers_first: { ${key}: 2 }`;
    expect(() => parseConfig(text(example, 'epoch'), 'run.yaml')).toThrow(
      /epoch: found an unknown key.* did you mean epochs/,
    );
    expect(() => parseConfig(text('sft', 'epochs'), 'run.yaml')).toThrow(/nothing, because method is sft/);
  });
});
