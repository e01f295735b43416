/** A tiny random Llama with a character tokenizer, made by test/py_worker/builders.py once for a run of all tests. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isAlive } from '../../src/files/temporary-name.ts';
import { findPython } from '../../src/python/find.ts';
import { projectRoot } from '../../src/python/paths.ts';
import { Connection } from '../../src/worker/connection.ts';

const prefix = 'tiny-llama-';
/** Every test file is a process of its own, started by one that lives as long as the run. */
const runner = process.ppid;

/** The Python that has the worker's packages; `npm test` makes it. */
export async function pythonPath(): Promise<string> {
  return (await findPython()).path;
}

/** The directory of a model of 2 layers, 4 heads, 101 tokens and 128 positions with a ChatML template; read only. */
export async function tinyModel(hiddenSize = 32): Promise<string> {
  const directory = join(tmpdir(), `${prefix}${runner}-${hiddenSize}`);
  if (existsSync(directory)) return directory;
  removeThoseOfEarlierRuns();
  const building = mkdtempSync(`${directory}-`);
  const builder = join(projectRoot(), 'test/py_worker/builders.py');
  await promisify(execFile)(await pythonPath(), [
    builder,
    building,
    '--chat',
    '--hidden-size',
    String(hiddenSize),
  ]);
  putInPlace(building, directory);
  return directory;
}

/** A worker with one thread, as runs on a CPU are compared; whoever opens it closes it. */
export async function torchWorker(env: Record<string, string> = {}): Promise<Connection> {
  return Connection.open({
    python: await pythonPath(),
    root: projectRoot(),
    env: { OMP_NUM_THREADS: '1', ...env },
  });
}

/** Another test file may have been quicker: its model is the same. */
function putInPlace(building: string, directory: string): void {
  try {
    renameSync(building, directory);
  } catch (error) {
    if (!existsSync(directory)) throw error;
    rmSync(building, { recursive: true });
  }
}

function removeThoseOfEarlierRuns(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const pid = Number.parseInt(name.slice(prefix.length), 10);
    if (!isAlive(pid)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
