/**
 * Every configuration that is shipped or shown in the documentation is one that works: it is read as it stands, planned, and run to its
 * end on the toy, shortened, on its own data where that is shipped and else on a few rows with the same columns.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../src/config/load.ts';
import { cellsOf } from '../src/study/cells.ts';
import { parseStudy, readExpectations, readStudyFile } from '../src/study/study-file.ts';
import {
  planRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from './support/recorded-run.ts';
import { smallRun } from './support/small-run.ts';
import { temporaryFile } from './support/temporary-directory.ts';

const root = join(import.meta.dirname, '..');
const folder = workFolder();

/** Files of the repository, and new ones, whose name ends so. */
const filesOf = (ending: string): string[] =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
    .split('\n')
    .filter(file => file.endsWith(ending) && existsSync(join(root, file)));
/** Studies and what is expected of them are no configurations of a run. */
const isOfStudy = (text: string) => /^(methods|expectations):/m.test(text);
const allFiles = filesOf('.yaml').filter(
  file => file.startsWith('configs/') && !isOfStudy(readFileSync(join(root, file), 'utf8')),
);
/** What the paper asks for takes days: it is read and planned. */
const ofPaper = allFiles
  .filter(file => file.startsWith('configs/paper/'))
  .map(file => [file, readFileSync(join(root, file), 'utf8')] as const);
const ofSuites = 'configs/smollm2/countdown.yaml'; // its suites are files of a folder
const files = allFiles.filter(file => !file.startsWith('configs/paper/') && file !== ofSuites);
const pages = filesOf('.md').filter(page => page !== 'CHANGELOG.md');
const snippets = pages.flatMap(page =>
  [...readFileSync(join(root, page), 'utf8').matchAll(/^```yaml\n(.*?)^```/gms)].map(
    ([, text = ''], i) => [`${page}, ${i + 1}`, text] as const,
  ),
);
const runSnippets = snippets.filter(([, text]) => !isOfStudy(text));
const shipped = [
  ...files.map(file => [file, readFileSync(join(root, file), 'utf8')] as const),
  ...runSnippets.filter(([, text]) => text.includes('model_name_or_path')),
];

describe('every study', () => {
  it('that is shipped has cells whose configurations are read, and expectations of its methods', async () => {
    const { study } = readStudyFile(join(root, 'configs/lab/study.yaml'));
    const cells = await cellsOf(study, 1);
    expect(cells).toHaveLength(3 * (4 * 2 + 2 + 11));
    expect(readExpectations(join(root, 'configs/lab/expected.yaml'), study)).toHaveLength(4);
  });

  it.each(snippets.filter(([, text]) => isOfStudy(text)))('%s is read', (_, text) => {
    if (text.startsWith('expectations:')) {
      const study = parseStudy('{ output_dir: o, run: r, methods: [{ name: TMS }, { name: SFT }] }', 's');
      expect(readExpectations(temporaryFile('e.yaml', text), study).length).toBeGreaterThan(0);
    } else expect(parseStudy(text, 'study.yaml').methods.length).toBeGreaterThan(0);
  });
});

describe('every shipped configuration', () => {
  it('is found: two files, and the one that the README begins with', () => {
    expect(shipped.map(([name]) => name)).toEqual([
      'configs/quickstart.yaml',
      'configs/smollm2/gsm8k.yaml',
      'README.md, 1',
    ]);
  });

  it.each(shipped)('%s is read as it stands', (_, text) => {
    const config = loadConfig(temporaryFile('run.yaml', text));
    expect(config).toMatchObject(asRead(text));
  });

  it.each(shipped)('%s runs to its end, its sets and scorers with it', async (_, text) => {
    const settings = shortened(standIn(parse(text)));
    const { output } = await recordRun(folder, settings);
    expect(readRecord(output, 'run.json').status).toBe('finished');
    const { sets } = readRecord(output, 'evaluation', 'base-step-000000.json');
    const asked = [settings.eval, settings.retention].flatMap(
      block => (block as { sets?: Settings[] })?.sets ?? [],
    );
    expect(sets.map(({ name }: { name: string }) => name)).toEqual(asked.map(({ name }) => name));
  });

  it.each(runSnippets.filter(([, text]) => !text.includes('model_name_or_path')))(
    '%s has only keys that there are',
    (_, text) => {
      const required = { model_name_or_path: 'm', dataset_name: 'd.jsonl', output_dir: 'o' };
      const whole = JSON.stringify({ ...required, ...parse(text) });
      expect(loadConfig(temporaryFile('run.yaml', whole))).toMatchObject(asRead(text));
    },
  );
});

describe('the grid of the paper', () => {
  it('has its six tasks, and the study of all models', async () => {
    expect(ofPaper.map(([file]) => basename(file, '.yaml'))).toEqual([
      'countdown',
      'gsm8k',
      'ifeval',
      'math',
      'mmlu',
      'toolalpaca',
    ]);
    const { study } = readStudyFile(join(root, 'configs/paper/study.yaml'));
    expect(await cellsOf(study, 1)).toHaveLength(5 * 5 * 3); // methods, models, seeds
  });

  it.each(ofPaper)('%s asks of the three retention sets, with T and α of the paper', (_, text) => {
    const config = loadConfig(temporaryFile('run.yaml', text));
    expect(config).toMatchObject({ ...asRead(text), tms: { num_checkpoints: 10, alpha: 0.25 } });
    expect(config.retention.sets.map(({ task }) => task)).toEqual([
      'arc_challenge_generative',
      'hotpotqa',
      'safetybench_generative',
    ]);
  });

  it.each(ofPaper)(
    '%s is planned: two epochs over 70 prompts but for those held out, and ten checkpoints at equal distances',
    async (_, text) => {
      const { dataset_config, eval: _eval, retention: _retention, ...rest } = parse(text);
      const settings = {
        ...rest,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 1,
        max_length: 512,
      };
      const plan = await planRun(folder, standIn({ ...settings, tms: { ...rest.tms, max_new_tokens: 64 } }));
      const { steps } = plan.trainings.sft;
      const equally = Array.from({ length: 10 }, (_, k) => Math.round(((k + 1) * steps) / 10));
      expect(plan.methods.tms.rounds[0].checkpointSteps).toEqual(equally);
      expect(steps).toBeGreaterThan(50);
    },
  );
});

describe('the plan', () => {
  it('of the quickstart is 48 epochs of 19 steps for 600 prompts, and ten checkpoints', async () => {
    const plan = await planRun(
      folder,
      standIn(parse(readFileSync(join(root, 'configs/quickstart.yaml'), 'utf8'))),
    );
    expect(plan.trainings.sft).toMatchObject({
      steps: 912,
      stepsPerEpoch: 19,
      evaluationSteps: [0, 228, 456, 684, 912],
    });
    expect(plan.trainings.student).toMatchObject({ steps: 912, evaluationSteps: [0, 228, 456, 684, 912] });
    expect(plan.methods.tms.rounds[0].checkpointSteps).toEqual([
      91, 182, 274, 365, 456, 547, 638, 730, 821, 912,
    ]);
    expect(plan.data).toMatchObject({ trainExamples: 600, testExamples: 300 });
    expect(plan.methods.tms.rounds[0].mixture.goldVisits / 28_800).toBeCloseTo(0.5, 1);
  });

  it('of SmolLM2 on GSM8K is 3 epochs of 6 steps for 48 prompts, and three checkpoints', async () => {
    const plan = await planRun(
      folder,
      standIn(parse(readFileSync(join(root, 'configs/smollm2/gsm8k.yaml'), 'utf8'))),
    );
    expect(plan.trainings.sft).toMatchObject({ steps: 18, stepsPerEpoch: 6, evaluationSteps: [0, 9, 18] });
    expect(plan.methods.tms.rounds[0].checkpointSteps).toEqual([6, 12, 18]);
    expect(plan.data).toMatchObject({ trainExamples: 48, testExamples: 64 });
  });
});

describe('SmolLM2 on Countdown', () => {
  it('is 3 epochs of 20 steps for 320 prompts, three checkpoints, and five suites that may be forgotten', async () => {
    const text = readFileSync(join(root, ofSuites), 'utf8');
    const config = loadConfig(temporaryFile('run.yaml', text));
    expect(config).toMatchObject(asRead(text));
    expect(config.retention.sets.map(({ task }) => task)).toEqual([
      'arc_easy',
      'piqa',
      'winogrande',
      'lambada',
      'ifeval',
    ]);
    const { retention: _, eval: __, text_loss: ___, ...rest } = parse(text);
    const rows = Array.from({ length: 330 }, (_, i) => ({ nums: [i, 2], target: i + 2, completion: 'ab' }));
    const path = writeRows(folder, 'countdown.jsonl', rows);
    const test = writeRows(
      folder,
      'countdown-test.jsonl',
      rows.map(row => ({ ...row, target: 0 })),
    );
    const plan = await planRun(folder, {
      ...standIn(rest),
      dataset_name: path,
      dataset_test_name: test,
      kl: { size: 0 },
    });
    expect(plan.trainings.sft).toMatchObject({ steps: 60, stepsPerEpoch: 20, evaluationSteps: [0, 30, 60] });
    expect(plan.methods.tms.rounds[0].checkpointSteps).toEqual([20, 40, 60]);
    const { study } = readStudyFile(join(root, 'configs/smollm2/study.yaml'));
    expect(await cellsOf(study, 1)).toHaveLength(5 * 3);
  });
});

describe('the time of a plan', () => {
  it('is unknown at first, then what training and sampling took here', async () => {
    const settings = { ...smallRun(folder), output_dir: join(folder, 'timed') };
    const home = join(folder, 'home-timed');
    expect((await planRun(folder, settings, home)).seconds).toBeNull();
    const { output } = await recordRun(folder, settings, { home });
    const timing = readRows(output, 'timing.jsonl');
    const secondsAToken = (kind: string) => {
      const lines = timing.filter(line => line.kind === kind);
      const sum = (key: string) => lines.reduce((total, line) => total + line[key], 0);
      return sum('seconds') / sum('tokens');
    };
    const { tokens, seconds } = await planRun(folder, settings, home);
    const trained = tokens.trained.sft + tokens.trained.student;
    const expected = trained * secondsAToken('train') + tokens.generatedExpected * secondsAToken('answer');
    expect(seconds / expected).toBeCloseTo(1, 6);
  });
});

/** As it is read: suites are sets by then. */
function asRead(text: string): object {
  const withoutSuites = (block: Settings) => {
    const { suites, suites_path, ...rest } = block;
    return rest;
  };
  const settings = parse(text);
  for (const key of ['eval', 'retention'])
    if (settings[key] !== undefined) settings[key] = withoutSuites(settings[key]);
  return settings;
}

/** The toy in place of the model; files that are not shipped replaced by some of the same columns, each with an absolute path. */
function standIn(settings: Settings): Settings {
  const text = JSON.stringify({ ...settings, model_name_or_path: 'toy:1' }, (key, value) => {
    const isFile = typeof value === 'string' && (key === 'path' || key === 'module' || /^dataset_/.test(key));
    if (!isFile) return value;
    const file = join(root, value);
    return existsSync(file)
      ? file
      : writeRows(folder, /\.\w+$/.test(value) ? basename(value) : `${basename(value)}.jsonl`, rowsOf(value));
  });
  const { max_length = 512, ...replaced } = JSON.parse(text);
  return { ...replaced, max_length: Math.min(max_length, 512), output_dir: join(folder, 'planned') };
}

/** As the files of this name are. */
function rowsOf(path: string): object[] {
  const rows = (row: (i: number) => object) => Array.from({ length: 70 }, (_, i) => row(i));
  if (path.includes('arc'))
    return rows(i => ({
      question: `what ${i}`,
      choices: { text: ['a', 'b'], label: ['A', 'B'] },
      answerKey: 'B',
    }));
  if (path.includes('math')) return rows(i => ({ problem: `${i}?`, solution: `It is \\boxed{${i}}.` }));
  if (path.includes('piqa')) return rows(i => ({ goal: `do ${i}`, choices: ['this', 'that'], label: i % 2 }));
  if (path.includes('gsm8k')) return rows(i => ({ question: `${i} + 1?`, answer: `It is\n#### ${i + 1}` }));
  if (path.includes('triviaqa')) return rows(i => ({ question: `who ${i}`, answer: 'me', aliases: ['I'] }));
  if (path.includes('general')) return rows(i => ({ prompt: `say ${i}`, answer: 'ab' }));
  return rows(i => ({ prompt: `say ${i}`, completion: 'ab' }));
}

/** As few steps as the checkpoints allow, few items: every key but these is the configuration's own. */
function shortened(settings: Settings): Settings {
  const tms = settings.tms as Settings & { num_checkpoints: number };
  const few = (block: unknown) => {
    const { sets = [], ...rest } = (block ?? {}) as { sets?: Settings[] };
    return { ...rest, sets: sets.map(set => ({ ...set, limit: 2 })) };
  };
  const { num_train_epochs: _, ...rest } = settings; // max_steps takes its place
  const output_dir = join(folder, `run-${Math.random().toString(36).slice(2)}`);
  return {
    ...rest,
    output_dir,
    max_steps: tms.num_checkpoints,
    tms: { ...tms, max_fallback_fraction: 1 }, // the toy learns too little in so few steps to end its answers
    eval: few(settings.eval),
    retention: few(settings.retention),
    pld: { size: 2 },
    kl: { size: 1 },
    eval_points: 2,
  };
}
