/**
 * The files that a program of the user's consists of (a scorer, a method), found from its first ones: what they import, require or name
 * beside themselves. A digest of them says whether results could differ. What no reading of a scorer's source can find (a table opened
 * under a computed name) is named by `scorer_inputs`.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, extname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'es-module-lexer/js';
import { UsageError } from '../errors.ts';

/** A digest of the contents of `entries`, of every file that they lead to, and of `inputs` (files, or folders with all that is in them). */
export function digestOfCode(entries: readonly string[], inputs: readonly string[]): string {
  const files = [...filesBehind(entries.map(entry => resolve(entry))), ...inputs.flatMap(filesIn)];
  // Contents in the order in which they are found, without paths: a moved program is the same program.
  const digests = files.map(file => createHash('sha256').update(readFileSync(file)).digest('hex'));
  return createHash('sha256').update(digests.join('\n')).digest('hex');
}

/** The files among the parts of a command, and the module behind Python's `-m`. A program found through PATH is not the user's own. */
export function filesOfCommand(command: readonly string[]): string[] {
  const module = command[command.indexOf('-m') + 1]?.replaceAll('.', sep) ?? '';
  const run = command.includes('-m') ? [`${module}.py`, join(module, '__main__.py')] : [];
  return [...command, ...run].filter(isFile);
}

/** Every file that is reached from `entries`, these included, in the order of finding. */
export function filesBehind(entries: readonly string[]): string[] {
  const found = new Set(entries);
  for (const file of found) for (const next of namedIn(file)) if (isFile(next)) found.add(next);
  return [...found];
}

function namedIn(file: string): string[] {
  if (file.includes(`${sep}node_modules${sep}`)) return [];
  const text = readFileSync(file, 'utf8');
  if (['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'].includes(extname(file))) return scriptFiles(file, text);
  if (extname(file) === '.py' || /^#!.*python/.test(text)) return pythonFiles(file, text);
  return text.startsWith('#!') ? wordsThatAreFiles(file, text) : [];
}

function scriptFiles(file: string, text: string): string[] {
  const required = [...text.matchAll(/\brequire\(\s*['"]([^'"]+)['"]\s*\)/g)].map(match => match[1] ?? '');
  const beside = [...text.matchAll(/\bnew URL\(\s*['"]([^'"]+)['"]\s*,\s*import\.meta\.url/g)];
  return [
    ...importsOf(file, text).flatMap(specifier => resolved(file, specifier)),
    ...required.flatMap(specifier => resolved(file, specifier)),
    ...beside.map(match => join(dirname(file), match[1] ?? '')),
  ];
}

function importsOf(file: string, text: string): string[] {
  // The lexer is one of JavaScript: types may stop it. A name in a comment that is no file is passed over.
  if (extname(file).endsWith('ts'))
    return [...text.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(match => match[1] ?? '');
  try {
    const [imports] = parse(text);
    return imports.flatMap(({ n: specifier }) => specifier ?? []);
  } catch {
    return []; // not a module: importing it fails, or it is CommonJS
  }
}

/** A package counts by its package.json, which has its version; so does tms itself. */
function resolved(file: string, specifier: string): string[] {
  if (isBuiltin(specifier)) return [];
  if (specifier.startsWith('file:')) return [fileURLToPath(specifier)];
  const path = typescriptFile(file, specifier) ?? foundByNode(file, specifier);
  if (path === null) return []; // an import that is not there fails where it is run
  const isPackage = path.includes(`${sep}node_modules${sep}`) || path.startsWith(ownFolder);
  return isPackage ? packageFile(path) : [path];
}

function foundByNode(file: string, specifier: string): string | null {
  try {
    return createRequire(file).resolve(specifier);
  } catch {
    return null;
  }
}

/** TypeScript may name a file by what it compiles to, or without an ending. */
function typescriptFile(file: string, specifier: string): string | null {
  if (!(specifier.startsWith('.') && extname(file).endsWith('ts'))) return null;
  const path = resolve(dirname(file), specifier);
  return [path, path.replace(/js$/, 'ts'), `${path}.ts`, join(path, 'index.ts')].find(isFile) ?? null;
}

/** src/ or dist/, whichever runs. */
const ownFolder = resolve(import.meta.dirname, '..') + sep;

function packageFile(path: string): string[] {
  const folder = dirname(path);
  const manifest = join(folder, 'package.json');
  return existsSync(manifest) || folder === dirname(folder) ? [manifest] : packageFile(folder);
}

/** Modules beside the script and in the packages beside it; installed packages are not the user's own. */
function pythonFiles(file: string, text: string): string[] {
  const imports = [...text.matchAll(/^[ \t]*import[ \t]+(.+)$/gm)].flatMap(match =>
    (match[1] ?? '').split(',').map(name => name.trim().split(/\s/)[0] ?? ''),
  );
  const froms = [
    ...text.matchAll(/^[ \t]*from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)/gm),
  ].flatMap(([, dots = '', module = '', names = '']) => {
    const members = names.split(/[(),\s]+/).filter(name => /^\w+$/.test(name) && name !== 'as');
    const base = dots === '' ? module : `${dots}${module}`;
    return [
      base,
      ...members.map(name => (base.endsWith('.') || base === '' ? base + name : `${base}.${name}`)),
    ];
  });
  return [...imports, ...froms].flatMap(name => pythonModule(file, name));
}

function pythonModule(file: string, name: string): string[] {
  const [, dots = '', path = ''] = /^(\.*)(.*)$/.exec(name) ?? [];
  const up = Array.from({ length: Math.max(0, dots.length - 1) }, () => '..');
  const parts = path.split('.').filter(part => part !== '');
  // A package's own __init__ files are run on the way to a module of it.
  return parts.flatMap((_, i) => {
    const place = join(dirname(file), ...up, ...parts.slice(0, i + 1));
    return [`${place}.py`, join(place, '__init__.py')];
  });
}

function wordsThatAreFiles(file: string, text: string): string[] {
  const words = text.split(/[\s'"=;()<>|&$`]+/).filter(word => word !== '');
  return words.flatMap(word => [resolve(word), resolve(dirname(file), word)]);
}

function filesIn(input: string): string[] {
  if (isFile(input)) return [input];
  if (!existsSync(input))
    throw new UsageError(`scorer_inputs names ${input}, which is not there`, {
      fix: 'name files or folders that the scorer reads',
    });
  return readdirSync(input, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort();
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
