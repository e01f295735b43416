import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '..');
/** Which folders of src/ a folder may import from, beside itself, errors.ts and files/. `index.ts` and `cli` may import everything. */
const mayImport: Record<string, readonly string[]> = {
  files: [],
  config: ['methods', 'tasks'], // their blocks and names are part of the schema
  data: ['python'], // data of the hub
  tasks: ['data'],
  python: [],
  worker: ['python'],
  plan: ['config', 'data'],
  run: [],
  store: ['run', 'worker'],
  metrics: ['run', 'data'],
  evaluation: ['config', 'data', 'python', 'tasks', 'worker', 'run'],
  training: ['config', 'data', 'plan', 'worker', 'run', 'store', 'evaluation'],
  methods: ['config', 'plan', 'training'],
  runner: [
    'python',
    'methods',
    'tasks',
    'training',
    'config',
    'data',
    'plan',
    'worker',
    'run',
    'store',
    'evaluation',
  ],
  report: ['run', 'metrics', 'data'],
  study: ['config', 'methods', 'training', 'worker', 'run', 'runner', 'metrics', 'report'],
  api: ['config', 'data', 'evaluation', 'tasks', 'plan', 'python', 'report', 'runner', 'worker'],
};

/** Words of the methods; the worker knows sequences, weights, steps, samples and paths only. */
const algorithmWords = new Set(
  [
    'trajectory trajectories mixture mixtures curriculum curricula pld',
    'student students teacher teachers gold harvest replay distillation distill forgetting retention',
  ].flatMap(line => line.split(' ')),
);

describe('imports', () => {
  const files = filesBelow('src', '.ts');

  test('go only in the directions of the table', () => {
    const wrong = files.flatMap(file =>
      importsOf(file)
        .filter(target => !isAllowed(file, target))
        .map(target => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  test('every folder of src/ has a row in the table', () => {
    const folders = new Set(files.map(folderOf).filter(folder => folder !== '' && folder !== 'cli'));
    expect([...folders].filter(folder => mayImport[folder] === undefined)).toEqual([]);
  });
});

describe('py_worker', () => {
  test('knows no word of any method', () => {
    const found = filesBelow('py_worker', '.py').flatMap(file =>
      read(file)
        .split('\n')
        .map(line => line.replace(/\.replay\(\)/, '')) // how torch calls what runs a CUDA graph
        .flatMap((line, index) => algorithmWordsIn(line).map(word => `${file}:${index + 1}: ${word}`)),
    );
    expect(found).toEqual([]);
  });

  test('is read word by word, inside identifiers too', () => {
    expect(algorithmWordsIn('def draw_mixture(goldTargets):')).toEqual(['mixture', 'gold']);
    expect(algorithmWordsIn('PLDCurve = 1')).toEqual(['pld']);
    expect(algorithmWordsIn('goldener = intermixed')).toEqual([]);
  });
});

describe('the names of trainings', () => {
  /** A method names its trainings; whoever reads a run finds them in its files. */
  const readers = ['cli', 'report', 'run', 'metrics', 'store', 'training', 'runner', 'plan'];

  test('stand in no program outside the methods', () => {
    const found = readers
      .flatMap(folder => filesBelow(join('src', folder), '.ts'))
      .flatMap(file => trainingNamesIn(read(file)).map(name => `${file}: ${name}`));
    expect(found).toEqual([]);
  });

  test('are found in strings, paths and identifiers, not in comments; control is a role too', () => {
    expect(trainingNamesIn('const a = [\'sft\', `models/student/x`, "control"];')).toEqual([
      'sft',
      'student',
      'control',
    ]);
    expect(trainingNamesIn('const lastSft = x.student; // sft\n/** the student */\n * sft')).toEqual([
      'lastSft',
      'student',
    ]);
    expect(trainingNamesIn("if (role === 'control') x(); z.enum(['baseline', 'control'])")).toEqual([]);
  });
});

describe('documentation', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', ...filesBelow('docs', '.md')].filter(page =>
    existsSync(join(root, page)),
  );

  test.each(pages)('%s names only paths that exist', page => {
    const missing = pathsIn(read(page)).filter(path => !existsFrom(page, path));
    expect(missing).toEqual([]);
  });

  test('a path is told from other code', () => {
    const text =
      'see `src/errors.ts`, `docs/`, `README.md`, `a/b`, `tms run configs/x.yaml`, `src/*/index.ts` and `src/x.ts:12`';
    expect(pathsIn(text)).toEqual(['src/errors.ts', 'docs/', 'README.md', 'src/x.ts']);
  });
});

function isAllowed(file: string, target: string): boolean {
  const [from, to] = [folderOf(file), folderOf(target)];
  if (from === to || to === 'files' || target === 'src/errors.ts') return true;
  if (from === 'cli' || file === 'src/index.ts') return true;
  return mayImport[from]?.includes(to) ?? false;
}

/** `src/plan/draw.ts` → `plan`; a file directly in src/ → ''. */
function folderOf(file: string): string {
  const parts = file.split('/');
  return parts.length > 2 ? (parts[1] ?? '') : '';
}

/** The project's own files that a file imports, types and dynamic imports included. */
function importsOf(file: string): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)['"](\.[^'"]+)['"]/g;
  return [...read(file).matchAll(pattern)].map(match =>
    relative(root, resolve(root, dirname(file), match[1] ?? '')),
  );
}

function algorithmWordsIn(line: string): string[] {
  const words = line
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
  return words.filter(word => algorithmWords.has(word));
}

function trainingNamesIn(text: string): string[] {
  const code = text
    .split('\n')
    .filter(line => !/^\s*(\/\*\*|\*)/.test(line))
    .map(line =>
      line.replace(/\/\/ .*/, '').replace(/'baseline'.*'control'|role === 'control'|role !== 'control'/g, ''),
    )
    .join('\n');
  const names = /\b(?:sft|student)\b|\b[a-z]\w*(?:Sft|Student)\w*\b|(?<=['"`/])control(?=['"`/])/g;
  return [...code.matchAll(names)].map(([name]) => name);
}

/** Backticked words that begin with a folder of the project or are a file of its root. */
function pathsIn(text: string): string[] {
  const folder = /^(src|py_worker|test|docs|configs|scripts|bench|examples|lab|\.ci)\/[\w./-]*$/;
  const rootFile = /^[\w-]+\.(md|json|toml|txt|in|ts)$/;
  return [...text.matchAll(/`([^`\s]+)`/g)]
    .map(match => (match[1] ?? '').replace(/:\d+$/, ''))
    .filter(word => folder.test(word) || rootFile.test(word));
}

/** A bare file name may also stand beside the page that names it. */
function existsFrom(page: string, path: string): boolean {
  return existsSync(join(root, path)) || existsSync(join(root, dirname(page), path));
}

function filesBelow(folder: string, suffix: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith(suffix))
    .map(file => join(folder, file))
    .sort();
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}
