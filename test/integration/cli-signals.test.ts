/** Signals, closed pipes and hostile text, met by the program as a person starts it: real processes, pipes and signals. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { program as main, tms } from '../support/command-line.ts';
import { writeProgram } from '../support/python-environments.ts';
import { writeFinishedRun } from '../support/run-fixture.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

const program = [process.execPath, main];
/** Long, since the machine may be busy; none of the tests waits for so long by design. */
const patience = { timeout: 300_000, interval: 50 };

let python: string;
let model: string;
beforeAll(async () => {
  python = await pythonPath();
  model = await tinyModel();
});

type Started = { child: ChildProcess; ended: Promise<number | null>; said: () => string };

/** Start a command, with its output collected; ended with the test. */
function start([command = '', ...args]: readonly string[], env: NodeJS.ProcessEnv): Started {
  const { npm_command: _, ...own } = process.env;
  const child = spawn(command, args, { env: { ...own, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', chunk => {
      said += chunk;
    });
  const ended = new Promise<number | null>(resolve => child.once('close', code => resolve(code)));
  return { child, ended, said: () => said };
}

/** A configuration for the tiny model with an output directory of its own. */
function newRun(settings: object = {}) {
  const folder = temporaryDirectory();
  const rows = Array.from({ length: 12 }, (_, i) => ({ prompt: `say ${i}`, completion: 'ab' }));
  const data = join(folder, 'train.jsonl');
  writeFileSync(data, rows.map(row => `${JSON.stringify(row)}\n`).join(''));
  const output = join(folder, 'out');
  const config = { model_name_or_path: model, dataset_name: data, test_size: 4, output_dir: output };
  const fast = {
    method: 'sft',
    max_length: 64,
    pld: { size: 0 },
    kl: { size: 0 },
    eval_points: 2,
    save_steps: 5,
  };
  const file = join(folder, 'run.yaml');
  writeFileSync(file, JSON.stringify({ ...config, ...fast, per_device_train_batch_size: 2, ...settings }));
  return { file, output, env: { TMS_HOME: join(folder, 'home'), TMS_PYTHON: python }, folder };
}

/** A Python that never comes up as a worker, and leaves a file when it is asked to. */
function sleepyPython(folder: string): { TMS_PYTHON: string; started: string } {
  const started = join(folder, 'started');
  const script = `case "$*" in *py_worker*) touch "${started}"; exec sleep 600;; *) exec "${python}" "$@";; esac`;
  return { TMS_PYTHON: writeProgram(join(folder, 'python'), script), started };
}

const isThere = (path: string) => expect.poll(() => existsSync(path), patience).toBe(true);

describe('asked to stop while it prepares', { timeout: 600_000 }, () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('by %s, a run ends at once with exit code %i and nothing begun', async (signal, code) => {
    const { file, output, env, folder } = newRun();
    const sleepy = sleepyPython(folder);
    const { child, ended, said } = start([...program, 'run', file], { ...env, ...sleepy });
    await isThere(sleepy.started);
    child.kill(signal);
    expect(await ended).toBe(code);
    expect(said()).toContain(`interrupted by ${signal}`);
    expect(said()).not.toContain('bug');
    expect(existsSync(output)).toBe(false);
  });

  test.each([
    ['nohup', (command: string) => `nohup ${command}; exit $?`],
    ['a parent that ignores it', (command: string) => `trap '' HUP; ${command}; exit $?`],
  ])('under %s a hang-up is not heard, SIGTERM is', async (_, shellOf) => {
    const { file, env, folder } = newRun();
    const sleepy = sleepyPython(folder);
    const command = `echo $BASHPID > ${folder}/shell; ${shellOf([...program, 'run', file].join(' '))}`;
    const { ended, said } = start(['bash', '-c', command], { ...env, ...sleepy });
    await isThere(sleepy.started);
    const shell = Number(readFileSync(join(folder, 'shell'), 'utf8'));
    const [pid] = readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim().split(' ').map(Number);
    process.kill(pid as number, 'SIGHUP');
    process.kill(pid as number, 'SIGTERM');
    expect(await ended).toBe(143);
    expect(said()).toContain('interrupted by SIGTERM');
  });
});

describe('a run', { timeout: 600_000 }, () => {
  const isTraining = (output: string) =>
    expect
      .poll(
        () => existsSync(join(output, 'ledger.jsonl')) && readFileSync(join(output, 'ledger.jsonl'), 'utf8'),
        patience,
      )
      .toContain('"train"');

  test('whose readers are gone goes on; a closed terminal stops it at a safe point, and it can be resumed', async () => {
    const { file, output, env } = newRun({ max_steps: 100_000 });
    const { child, ended } = start([...program, 'run', file], env);
    child.stdout?.destroy();
    child.stderr?.destroy(); // what it says next meets a closed pipe
    await isTraining(output);
    child.kill('SIGHUP');
    child.kill('SIGHUP'); // a shell passes on what its terminal has said already
    expect(await ended).toBe(129);
    expect(JSON.parse(readFileSync(join(output, 'run.json'), 'utf8'))).toMatchObject({
      status: 'interrupted',
      error: null,
    });
    expect(readdirSync(output)).not.toContain('lock');
  });

  test('that is finished writes its report and prints it, whatever comes while its worker ends', async () => {
    const { file, output, env, folder } = newRun({ max_steps: 2 });
    const [ending, python] = [join(folder, 'ending'), env.TMS_PYTHON];
    const lingering = `case "$*" in *py_worker*) "${python}" "$@"; touch "${ending}"; exec sleep 600;; *) exec "${python}" "$@";; esac`;
    const TMS_PYTHON = writeProgram(join(folder, 'python'), lingering);
    const { child, ended, said } = start([...program, 'run', file], { ...env, TMS_PYTHON });
    await isThere(ending);
    child.kill('SIGHUP');
    expect(await ended).toBe(0);
    expect(JSON.parse(readFileSync(join(output, 'run.json'), 'utf8')).status).toBe('finished');
    expect(readdirSync(output)).toContain('report.html');
    expect(said()).toContain(`report  ${output}/report.html`);
  });

  const workerOf = ({ pid }: ChildProcess) => {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    return children.find(id => readFileSync(`/proc/${id}/cmdline`, 'utf8').includes('py_worker')) as number;
  };

  test.runIf(process.platform === 'linux')(
    'whose worker is killed ends with 1 and the command that goes on, in words of the command line',
    async () => {
      const { file, output, env } = newRun({ max_steps: 100_000 });
      const { child, ended, said } = start([...program, 'run', file], env);
      await isTraining(output);
      process.kill(workerOf(child), 'SIGKILL');
      expect(await ended).toBe(1);
      expect(said()).toMatch(/error: \S+: the worker process killed by SIGKILL/);
      expect(said()).toContain(`\n  go on with: npx tms resume ${output}\n`);
      expect(said()).not.toMatch(/Start a new worker|bug/);
      expect(JSON.parse(readFileSync(join(output, 'run.json'), 'utf8')).status).toBe('failed');
    },
  );

  test.runIf(process.platform === 'linux')(
    'that cannot reach a safe point ends at once at the second Ctrl-C',
    async () => {
      const { file, output, env } = newRun({ max_steps: 100_000 });
      const { child, ended, said } = start([...program, 'run', file], env);
      await isTraining(output);
      const worker = workerOf(child);
      process.kill(worker, 'SIGSTOP');
      child.kill('SIGINT');
      await expect
        .poll(said, patience)
        .toContain('stopping at the next safe point; once more to stop at once');
      child.kill('SIGINT');
      expect(await ended).toBe(130);
      await expect.poll(() => existsSync(`/proc/${worker}/cmdline`), patience).toBe(false);
    },
  );
});

describe('what nobody reads to its end', () => {
  test('ends quietly', () => {
    const row = JSON.stringify({ prompt: 'p'.repeat(200), completion: 'c' });
    const file = temporaryFile('train.jsonl', `${row}\n`.repeat(3000));
    const command = `${program.join(' ')} data show ${file} -n 3000 | head -1; exit \${PIPESTATUS[0]}`;
    const env = { ...process.env, TMS_HOME: temporaryDirectory() };
    const { status, stdout, stderr } = spawnSync('bash', ['-c', command], { encoding: 'utf8', env });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout.split('\n')).toHaveLength(2);
  });
});

describe('escape sequences', () => {
  const hostile = '\u001b[31mred\u001b]0;title\u0007\u009b2J';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

  test('in data reach no terminal, and --json keeps them as they are', () => {
    const file = temporaryFile(
      'train.jsonl',
      `${JSON.stringify({ prompt: hostile, completion: hostile })}\n`,
    );
    const { stdout, stderr } = tms(['data', 'show', file]);
    expect(stdout).toContain('\\u001b[31mred');
    expect(stdout + stderr).not.toMatch(control);
    const json = tms(['data', 'show', file, '--json']).stdout;
    expect(json).not.toMatch(control);
    expect(JSON.parse(json).examples[0].prompt).toBe(hostile);
  });

  test('in a run’s error, in keys of a configuration and in arguments neither', () => {
    const directory = join(temporaryDirectory(), 'run');
    mkdirSync(directory);
    writeFinishedRun(directory);
    const record = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8'));
    writeFileSync(
      join(directory, 'run.json'),
      JSON.stringify({ ...record, status: 'failed', error: hostile }),
    );
    const config = temporaryFile('run.yaml', JSON.stringify({ [hostile]: 1, model_name_or_path: hostile }));
    for (const args of [['report', directory], ['plan', config], ['run', hostile], [hostile]]) {
      const { stdout, stderr } = tms(args);
      expect(stdout + stderr, args[0]).not.toMatch(control);
      expect(stdout + stderr, args[0]).toContain('\\u001b[31mred');
    }
  });
});

test('an output directory below a file, or on a disk that is full, is no bug of ours', () => {
  const file = temporaryFile('file', '');
  const { file: config, env } = newRun();
  const refused = tms(['run', config, '--set', `output_dir=${file}/out`], { env });
  expect(refused.status).toBe(3);
  expect(refused.stderr).toMatch(/output_dir \S+ cannot be written/);
  const home = tms(['data', 'show', join(file, 'x.jsonl')], { env: { TMS_HOME: join(file, 'home') } });
  expect(home.stderr).not.toContain('bug');
});
