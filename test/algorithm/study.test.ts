/** A study on the toy: what is run once, what is run again, and that a worker that stays changes nothing. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { compareRuns } from '../../src/runner/compare-runs.ts';
import { stateOf } from '../../src/study/cell-state.ts';
import { type Cell, cellsOf, placeText } from '../../src/study/cells.ts';
import { type Failure, runStudy } from '../../src/study/run-study.ts';
import { cellsWith, openStudy, runCells } from '../../src/study/study.ts';
import { parseStudy, type StudyFile } from '../../src/study/study-file.ts';
import { Worker } from '../../src/worker/worker.ts';
import { called } from '../support/in-process.ts';
import { Recorder, recordRun, workFolder } from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
let run: string;

beforeAll(() => {
  run = join(folder, 'run.yaml');
  const settings = smallRun(folder, {
    output_dir: 'nowhere',
    retention: { sets: [saySet(folder, { count: 4, name: 'keep' })] },
  });
  writeFileSync(run, JSON.stringify(settings));
});

/** TMS and SFT × two rates × two seeds: 9 steps a training. */
function study(name: string, more: object = {}): StudyFile {
  const methods = [
    { name: 'TMS', set: { method: 'tms', 'tms.alpha': 0.5 } },
    { name: 'SFT', set: { method: 'sft' } },
  ];
  const file = { output_dir: join(folder, name), run, methods, grid: { learning_rate: [1, 0.5] } };
  return parseStudy(JSON.stringify({ ...file, replicates: { seed: [3, 4] }, ...more }), 'study.yaml');
}

type Ran = { failures: Failure[]; said: string[]; updates: number; workers: number };

async function ran(
  file: StudyFile,
  { cells, stopAt = 0, jobs = 2 }: { cells?: Cell[]; stopAt?: number; jobs?: number } = {},
): Promise<Ran> {
  const controller = new AbortController();
  const found: Ran = { failures: [], said: [], updates: 0, workers: 0 };
  const onCall = (verb: string) => {
    if (verb === 'optimStep' && ++found.updates === stopAt) controller.abort(new Error('stop'));
  };
  found.failures = await runStudy(
    { output_dir: file.output_dir, cells: cells ?? (await cellsOf(file, 1)) },
    {
      home: join(file.output_dir, 'home'),
      progress: { update: () => {}, say: line => void found.said.push(line) },
      signal: controller.signal,
      tmsVersion: 'test',
      jobs,
      startWorker: async () => {
        found.workers += 1;
        return new Worker(new Recorder(new ToyChannel(), onCall));
      },
      onFinished: async () => 'done',
    },
  );
  return found;
}

describe('the cells of a study', () => {
  test('are every combination, replicate by replicate, with a directory that names them', async () => {
    const cells = await cellsOf(study('places'), 1);
    expect(
      cells.map(({ method, recipe, replicate }) => [method, recipe.learning_rate, replicate.seed]),
    ).toEqual([
      ['TMS', 1, 3],
      ['TMS', 0.5, 3],
      ['SFT', 1, 3],
      ['SFT', 0.5, 3],
      ['TMS', 1, 4],
      ['TMS', 0.5, 4],
      ['SFT', 1, 4],
      ['SFT', 0.5, 4],
    ]);
    expect(cells[1]?.id).toMatch(/^tms_0\.5_3-[0-9a-f]{6}$/);
    expect(cells[1]?.config).toMatchObject({
      learning_rate: 0.5,
      seed: 3,
      tms: { alpha: 0.5 },
      worker: { threads: 1 },
      output_dir: join(folder, 'places', 'cells', cells[1]?.id ?? ''),
    });
    // Those of one rate and seed may share trainings.
    expect(new Set(cells.map(({ group }) => group)).size).toBe(4);
    expect(cells[0]?.group).toBe(cells[2]?.group);
  });

  test('of points with names are called by them, in words alone', async () => {
    const named = study('points', { grid: [{ name: 'slow', learning_rate: 0.5 }] });
    const plain = study('points', { grid: [{ learning_rate: 0.5 }] });
    const [[one], [other]] = [await cellsOf(named, 1), await cellsOf(plain, 1)];
    expect(placeText(one as Cell)).toBe('TMS, slow, seed 3');
    expect(one?.id).toBe(other?.id);
  });

  test('are chosen by parts of their places: all of one text, any of several', async () => {
    const cells = await cellsOf(study('only'), 1);
    const chosen = (...only: string[]) =>
      cellsWith(cells, only).map(({ method, replicate }) => [method, replicate.seed]);
    expect(chosen('SFT, seed 3')).toEqual([
      ['SFT', 3],
      ['SFT', 3],
    ]);
    expect(chosen('SFT, seed 3, learning_rate 0.5', 'TMS, seed 4, learning_rate 1')).toEqual([
      ['SFT', 3],
      ['TMS', 4],
    ]);
    expect([chosen().length, chosen('seed 5').length]).toEqual([8, 0]);
  });

  test('keep their names while their results do, and get others with another setting', async () => {
    const [before] = await cellsOf(study('names'), 1);
    const [threads] = await cellsOf(study('names'), 2);
    const [other] = await cellsOf(study('names', { set: { weight_decay: 0.1 } }), 1);
    expect(threads?.id).toBe(before?.id);
    expect(other?.id).not.toBe(before?.id);
  });

  test('take keys of the command line, but none that the study varies', async () => {
    const path = join(folder, 'set.yaml');
    const { output_dir, methods, grid, replicates } = study('set');
    writeFileSync(
      path,
      JSON.stringify({ output_dir, run, methods, grid, replicates, set: { weight_decay: 0.1 } }),
    );
    const wishes = { jobs: 1, only: [], expect: null };
    const { cells } = await openStudy(path, {
      ...wishes,
      sets: ['weight_decay=0.2', 'eval.sets=', 'eval_points=5'],
    });
    expect(cells).toHaveLength(8);
    for (const { config } of cells)
      expect(config).toMatchObject({ weight_decay: 0.2, eval_points: 5, eval: { sets: [] } });
    const lost = openStudy(path, {
      ...wishes,
      sets: ['tms.alpha=0', 'seed=1', 'learning_rate=2', 'eval_points=3'],
    });
    await expect(lost).rejects.toThrow('--set tms.alpha, seed, learning_rate: methods, grid or replicates');
  });

  test('that begin with a model that is not there are refused before any runs', async () => {
    const path = join(folder, 'missing.yaml');
    const { output_dir, methods, grid } = study('missing');
    const replicates = [{ model_name_or_path: 'runs/bases/2' }, { model_name_or_path: 'toy:1' }];
    writeFileSync(path, JSON.stringify({ output_dir, run, methods, grid, replicates }));
    const opened = await openStudy(path, { jobs: 1, only: [], sets: [], expect: null });
    await expect(runCells(opened, {} as never)).rejects.toThrow(
      `there is no model at runs/bases/2, which ${opened.cells.length / 2} cells begin with`,
    );
  });

  test('that are the same run, or wrong, are refused with their place', async () => {
    const twins = study('twins', {
      methods: [1, 2].map(i => ({ name: `SFT ${i}`, set: { method: 'sft' } })),
    });
    const same = [3, 4].flatMap(seed => [1, 0.5].map(rate => `learning_rate ${rate}, seed ${seed}`));
    await expect(cellsOf(twins, 1)).rejects.toThrow(
      same.map(place => `the cells SFT 1, ${place} and SFT 2, ${place} are the same run`).join('\n'),
    );
    const grid = { 'tms.alhpa': [1], learning_rate: [1, -1] };
    const error = await cellsOf(study('wrong', { grid }), 1).catch(String);
    expect(error).toMatch(
      /the cell TMS, tms\.alhpa 1, learning_rate 1, seed 3 and 3 more: .*did you mean alpha/s,
    );
    expect(error).toMatch(
      /the cell TMS, tms\.alhpa 1, learning_rate -1, seed 3 and 3 more: .*2 problems.*learning_rate: found -1/s,
    );
  });

  test('of a text of --only that no cell has are refused, whatever another one has', async () => {
    const place = join(folder, 'only.yaml');
    writeFileSync(place, JSON.stringify(study('only')));
    const { error } = await called(['study', place, '--report', '--only', 'seed 3', '--only', 'sed 4']);
    expect(error).toMatchObject({
      message: expect.stringContaining('has sed 4 in its place'),
      fix: 'choose parts of a place such as: TMS, learning_rate 1, seed 3',
    });
  });
});

describe('a study', () => {
  test('trains what cells share once, on one worker a slot, and gives what fresh workers give', async () => {
    const file = study('whole');
    const { failures, said, updates, workers } = await ran(file);
    expect(failures).toEqual([]);
    // SFT and student, of two rates and two seeds, 9 steps each: SFT's own cells find theirs in the store.
    expect(updates).toBe(2 * 2 * 2 * 9);
    expect(workers).toBe(2);
    expect(said.map(line => line.slice(0, 5))).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map(i => `[${i}/8]`));
    const cells = await cellsOf(file, 1);
    expect(cells.map(({ config }) => stateOf(config.output_dir).status)).toEqual(cells.map(() => 'finished'));
    const last = cells[5] as Cell;
    const { output_dir: _, ...settings } = JSON.parse(readFileSync(run, 'utf8'));
    const alone = await recordRun(folder, {
      ...settings,
      tms: { ...settings.tms, alpha: 0.5 },
      ...last.recipe,
      ...last.replicate,
      worker: { threads: 1 },
    });
    expect(compareRuns(alone.output, last.config.output_dir).filter(({ state }) => state !== 'same')).toEqual(
      [],
    );
  });

  test('is written and judged from its directory: pages, expectations, status, exit codes', async () => {
    const place = join(folder, 'study.yaml');
    const claims = [{ claim: 'TMS keeps more', of: 'TMS', against: 'SFT', measure: 'retention', above: 0 }];
    const { methods, grid, replicates, output_dir } = study('whole');
    const written = { run, output_dir, methods, grid, replicates, claims, reference: 'SFT' };
    writeFileSync(place, JSON.stringify(written));
    const page = await called(['study', place, '--report', '--json']);
    expect(page.error).toBeNull();
    const found = JSON.parse(page.printed);
    expect(found.cells.map(({ state }: { state: { status: string } }) => state.status)).toEqual(
      found.cells.map(() => 'finished'),
    );
    // 4 cells of SFT whose one training came from the store; 4 of TMS that trained both.
    expect(found.trainings).toEqual({ all: 12, stored: 4 });
    const [keep] = found.claims[0].evidence;
    // No input changed while it was run: methods, rates and seeds differ on purpose.
    expect(found.cautions.filter((text: string) => text.includes(' changed after '))).toEqual([]);
    // By the files of the runs: mean over both seeds of the last accuracies, TMS minus SFT.
    const accuracies = (method: string) =>
      found.cells
        .filter((cell: Cell) => cell.method === method && cell.recipe.learning_rate === 1)
        .map(({ id }: Cell) => lastAccuracy(join(output_dir, 'cells', id)));
    const [tms, sft] = [accuracies('TMS'), accuracies('SFT')] as [number[], number[]];
    expect(keep.values).toEqual(tms.map((value, i) => value - (sft[i] ?? Number.NaN)));
    expect(readFileSync(join(output_dir, 'study.md'), 'utf8')).toContain(
      'All 8 cells of the study have finished.',
    );

    const expected = join(folder, 'expected.yaml');
    const expectation = { expect: 'the impossible', of: 'TMS', measure: 'retention', above: 2 };
    writeFileSync(expected, JSON.stringify({ expectations: [expectation] }));
    const junit = join(folder, 'study.xml');
    const idle = await called(['study', place, '--report', '--junit', junit]);
    expect(idle.error).toMatchObject({ exitCode: 3, message: expect.stringContaining('no --expect') });
    expect(existsSync(junit)).toBe(false);
    const unmet = await called(['study', place, '--report', '--expect', expected, '--junit', junit]);
    expect(unmet.error).toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('the impossible (retention of TMS'),
    });
    expect(readFileSync(junit, 'utf8')).toContain('tests="1" failures="1"');

    // A gate is of cells that have finished already, too; answers of the toy have no end, so nothing is judged of them.
    writeFileSync(place, JSON.stringify({ ...written, set: { 'retention.max_drop': 0.5 } }));
    const gated = await called(['study', place, '--report', '--junit', junit]);
    expect(gated.error).toBeNull();
    expect(readFileSync(junit, 'utf8')).toContain('tests="8" failures="0" errors="0" skipped="8"');
    const status = await called(['study', 'status', output_dir]);
    expect(status.printed).toContain('8 of 8 cells are finished, 0 are waiting');
  });

  test('that is stopped goes on, and ends in the same bytes; what was finished is not run again', async () => {
    const file = study('stopped');
    await expect(ran(file, { stopAt: 25, jobs: 1 })).rejects.toMatchObject({ exitCode: 130 });
    const before = (await cellsOf(file, 1)).map(({ config }) => stateOf(config.output_dir).status);
    expect(before.filter(status => status === 'finished').length).toBeGreaterThan(0);
    expect(before).toContain('interrupted');
    const { said, updates } = await ran(file);
    expect(said[0]).toMatch(/^\d of 8 cells are finished already$/);
    expect(updates).toBe(72 - 18); // the one cell that had finished
    for (const cell of await cellsOf(file, 1)) {
      const undisturbed = join(folder, 'whole', 'cells', cell.id);
      expect(existsSync(undisturbed)).toBe(true);
      // A training that came from the store leaves no states on its way.
      const found = compareRuns(cell.config.output_dir, undisturbed).filter(
        ({ state }) => state === 'differs',
      );
      expect(found).toEqual([]);
    }
  });

  test('goes on when a cell fails, says why, and runs that one again', async () => {
    const file = study('failing', { grid: { learning_rate: [1] } });
    const cells = await cellsOf(file, 1);
    const bad = cells[1] as Cell;
    writeFileSync(join(folder, 'missing.jsonl'), '');
    const broken = cells.map(cell =>
      cell === bad
        ? { ...cell, config: { ...cell.config, dataset_name: join(folder, 'missing.jsonl') } }
        : cell,
    );
    const { failures, said, workers } = await ran(file, { cells: broken, jobs: 1 });
    expect(failures).toHaveLength(1);
    expect(failures[0]?.cell.id).toBe(bad.id);
    expect(said[1]).toMatch(/^\[2\/4\] SFT, learning_rate 1, seed 3: failed: .*missing\.jsonl/);
    expect(readFileSync(`${bad.config.output_dir}.log`, 'utf8')).toContain('missing.jsonl');
    expect(workers).toBe(2); // the one of the cell that failed is not used any more
    const again = await ran(file);
    expect(again.failures).toEqual([]);
    expect(again.said).toHaveLength(2);
  });
});

test('tms study ends with 1 where cells failed, and names each with its log', async () => {
  const { methods, replicates } = study('lost');
  const place = join(folder, 'lost.yaml');
  const set = { 'worker.python': join(folder, 'nowhere') };
  writeFileSync(
    place,
    JSON.stringify({ run, output_dir: join(folder, 'lost'), methods, replicates, set, jobs: 2 }),
  );
  const { error } = await called(['study', place]);
  expect(error).toMatchObject({
    exitCode: 1,
    message: expect.stringMatching(/4 of 4 cells of .*lost failed:/),
  });
  expect(String(error)).toMatch(/\n {2}SFT, seed 4: .*nowhere.*\.log\)/);
  expect(readFileSync(join(folder, 'lost', 'study.md'), 'utf8')).toContain('0 of its 4 cells have finished');
});

/** The last accuracy on the retention set, from the evaluation of the model that the run was made for. */
function lastAccuracy(directory: string): number {
  const training = existsSync(join(directory, 'models/student')) ? 'student' : 'sft';
  return JSON.parse(readFileSync(join(directory, `evaluation/${training}-step-000009.json`), 'utf8')).sets[0]
    .accuracy;
}
