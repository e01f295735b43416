/** Curves in the trackers that people use: the real libraries, read back by other readers than the writers. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startTracking, type TrackerName } from '../../src/runner/track.ts';
import { pythonWith } from '../support/python-packages.ts';
import { recordRun, workFolder } from '../support/recorded-run.ts';
import { smallRun } from '../support/small-run.ts';

const folder = workFolder();
const { python, isMissing } = await pythonWith('trackers', 'tensorboard');
process.env.WANDB_MODE = 'offline';
process.env.MLFLOW_TRACKING_URI = `file://${join(folder, 'mlruns')}`;
process.env.TRACKIO_DIR = join(folder, 'trackio');

const steps = [
  { training: 'sft', step: 1, loss: 1.5, learning_rate: 0.25, num_tokens: 100 },
  { training: 'sft', step: 2, loss: 0.5, learning_rate: 0.125, num_tokens: 60 },
];
const measured = {
  training: 'sft',
  step: 2,
  'eval/arc/accuracy': 0.75,
  'eval/maths/accuracy': 0.5,
  'retention/mean': 0.75,
};
const sets = [
  { name: 'arc', role: 'retention' },
  { name: 'maths', role: 'target' },
];

/** What a run leaves: the last line is not whole yet. */
function writeRun(directory: string, lines: readonly object[]): void {
  mkdirSync(join(directory, 'evaluation'), { recursive: true });
  writeFileSync(join(directory, 'run.json'), '{"id": "a1"}');
  writeFileSync(join(directory, 'config.resolved.yaml'), 'seed: 7\ntms: {alpha: 0.25}\n');
  writeFileSync(join(directory, 'evaluation', 'sft-step-000002.json'), JSON.stringify({ sets }));
  const text = lines.map(line => `${JSON.stringify(line)}\n`).join('');
  writeFileSync(join(directory, 'metrics.jsonl'), `${text}{"training": "sft", "st`);
}

async function track(directory: string, to: TrackerName[]) {
  const said: string[] = [];
  const say = (line: string) => said.push(line);
  const late = await startTracking({
    directory,
    name: 'demo',
    to,
    python,
    follow: false,
    say,
    patienceSeconds: 600,
  }).close();
  return { said, late };
}

/** TensorBoard's own reader, which is not what wrote. */
function tensorBoard(directory: string): Record<string, [number, number][]> {
  const code = `import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))`;
  const { stdout, stderr } = spawnSync(python, ['-c', code, directory], { encoding: 'utf8' });
  return JSON.parse(stdout || `{"${stderr}": []}`);
}

describe.skipIf(isMissing)('a run that is replayed', () => {
  it('has in every tracker the numbers of its files, under the names of TRL', async () => {
    const run = join(folder, 'run');
    writeRun(run, [...steps, measured]);
    const { said, late } = await track(run, ['wandb', 'mlflow', 'trackio']);
    expect([said.filter(line => line.startsWith('warning')), late]).toEqual([[], []]);

    const [experiment] = readdirSync(join(folder, 'mlruns')).filter(name => /^\d{2,}$/.test(name));
    const runs = join(folder, 'mlruns', experiment ?? '');
    const [id] = readdirSync(runs).filter(name => /^[0-9a-f]{32}$/.test(name));
    const curve = (name: string) =>
      readFileSync(join(runs, id ?? '', 'metrics', name), 'utf8')
        .trim()
        .split('\n')
        .map(line => line.split(' ').slice(1).map(Number));
    expect(curve('train/loss')).toEqual([
      [1.5, 1],
      [0.5, 2],
    ]);
    expect(curve('train/num_tokens')).toEqual([
      [100, 1],
      [160, 2],
    ]);
    expect([curve('retention/arc'), curve('eval/maths/accuracy')]).toEqual([[[0.75, 2]], [[0.5, 2]]]);
    expect(readFileSync(join(runs, id ?? '', 'params', 'tms.alpha'), 'utf8')).toBe('0.25');

    const database = `import json, pathlib, sqlite3, sys
print(json.dumps(sqlite3.connect(sys.argv[1]).execute("select run_name, step, cast(metrics as text) from metrics order by id").fetchall()))`;
    const rows = spawnSync(python, ['-c', database, join(folder, 'trackio', 'tms.db')], { encoding: 'utf8' });
    const logged = (JSON.parse(rows.stdout) as [string, number, string][]).map(([name, step, metrics]) => {
      const numbers = JSON.parse(metrics) as Record<string, number>;
      return [name, step, numbers['train/loss'] ?? numbers['retention/arc']];
    });
    expect(logged).toEqual([
      ['demo/sft', 1, 1.5],
      ['demo/sft', 2, 0.5],
      ['demo/sft', 2, 0.75],
    ]);

    // A record of W&B's file names a key and then the JSON of its value (HistoryItem and SummaryItem, of which each step has one: fields 2 and 16).
    const offline =
      readdirSync(join(run, 'trackers', 'wandb')).find(name => name.startsWith('offline-run')) ?? '';
    const place = join(run, 'trackers', 'wandb', offline);
    const file = readdirSync(place).find(name => name.endsWith('.wandb')) ?? '';
    const bytes = readFileSync(join(place, file), 'latin1');
    const valuesOf = (key: string) =>
      [...bytes.matchAll(new RegExp(`\\x12.${key}\\x82\\x01.([\\d.]+)`, 'gs'))].map(([, value]) =>
        Number(value),
      );
    expect([valuesOf('train/loss'), valuesOf('retention/arc'), valuesOf('train/global_step')]).toEqual([
      [1.5, 1.5, 0.5, 0.5],
      [0.75, 0.75],
      [1, 1, 2, 2, 2, 2],
    ]);
  });

  it('is gone on with behind what was sent: no number comes twice', async () => {
    const run = join(folder, 'twice');
    writeRun(run, steps.slice(0, 1));
    await track(run, ['tensorboard']);
    writeRun(run, [...steps, measured]);
    const { said } = await track(run, ['tensorboard']);
    expect(said).toEqual([`curves: tensorboard --logdir ${join(run, 'tensorboard')}`]);
    expect(tensorBoard(join(run, 'tensorboard', 'sft'))).toEqual({
      'train/loss': [
        [1, 1.5],
        [2, 0.5],
      ],
      'train/learning_rate': [
        [1, 0.25],
        [2, 0.125],
      ],
      'train/num_tokens': [
        [1, 100],
        [2, 160],
      ],
      'retention/arc': [[2, 0.75]],
      'retention/mean': [[2, 0.75]],
      'eval/maths/accuracy': [[2, 0.5]],
    });
  });
});

describe.skipIf(isMissing)('a run with report_to', () => {
  it('is followed while it goes, and goes on where a tracker has no login', async () => {
    process.env.WANDB_MODE = 'online';
    process.env.WANDB_API_KEY = '';
    process.env.NETRC = join(folder, 'netrc');
    const report_to = ['tensorboard', 'wandb'];
    const settings = smallRun(folder, { method: 'sft', report_to, worker: { python } });
    const { said, output } = await recordRun(folder, settings);
    const losses = readFileSync(join(output, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
      .filter(({ loss }) => loss !== undefined)
      .map(({ step, loss }) => [step, Math.fround(loss)]);
    expect(losses).toHaveLength(9);
    expect(tensorBoard(join(output, 'tensorboard', 'sft'))['train/loss']).toEqual(losses);
    expect(said.filter(line => line.includes('wandb'))).toEqual([
      'warning: wandb: No API key configured. Use `wandb login` to log in.; the run goes on without it ' +
        '(fix: wandb login, or set WANDB_API_KEY, or WANDB_MODE=offline)',
      `wandb has not all of the run: tms track ${output} --to wandb sends the rest`,
    ]);
    expect(readFileSync(join(output, 'run.json'), 'utf8')).toContain('"status": "finished"');
  });
});
