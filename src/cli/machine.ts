import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, homedir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { availableMemory, constrainedMemory } from 'node:process';

/** Processor and memory, as far as this process may use them. */
export interface MachineFacts {
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
}

/** A Node package of ours; `error` is null when it can be loaded. */
export interface NodePackage {
  readonly name: string;
  readonly version: string | null;
  readonly error: string | null;
}

/** Free space where something of ours is or will be written. */
export interface DiskFacts {
  readonly use: string;
  readonly path: string;
  readonly freeBytes: number;
}

/** Memory is the container's limit where there is one. */
export function machineFacts(): MachineFacts {
  const limit = constrainedMemory();
  const processors = cpus();
  return {
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    cpu: processors[0]?.model.trim() ?? 'unknown processor',
    cores: processors.length,
    memoryBytes: limit > 0 && limit < totalmem() ? limit : totalmem(),
    freeMemoryBytes: availableMemory(),
  };
}

/** Load each package that has to work; pythonia is only looked up, since loading it starts Python. */
export async function nodePackages(): Promise<NodePackage[]> {
  return Promise.all([
    nodePackage('zeromq', () => import('zeromq')),
    nodePackage('msgpackr', () => import('msgpackr')),
    nodePackage('pythonia', async () => createRequire(import.meta.url).resolve('pythonia')),
  ]);
}

async function nodePackage(name: string, load: () => Promise<unknown>): Promise<NodePackage> {
  try {
    await load();
    return { name, version: packageVersion(name), error: null };
  } catch (error) {
    return { name, version: null, error: (error as Error).message.split('\n')[0] ?? 'unknown error' };
  }
}

function packageVersion(name: string): string | null {
  const main = createRequire(import.meta.url).resolve(name);
  const folder = main.slice(0, main.lastIndexOf(`/node_modules/${name}/`) + `/node_modules/${name}/`.length);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version?: string };
  return version ?? null;
}

/** Free bytes for runs (here), for the Python environment, and for models from the Hugging Face hub. */
export function diskFacts(environmentFolder: string, env: NodeJS.ProcessEnv): DiskFacts[] {
  const models = env.HF_HUB_CACHE ?? env.HF_HOME ?? join(env.HOME ?? homedir(), '.cache', 'huggingface');
  return [
    freeSpace('runs (here)', process.cwd()),
    freeSpace('Python environment', environmentFolder),
    freeSpace('models', models),
  ];
}

function freeSpace(use: string, path: string): DiskFacts {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { bavail, bsize } = statfsSync(folder);
  return { use, path, freeBytes: bavail * bsize };
}
