// npm runs this after `npm ci`, before `npm pack`, and before `npx tms` in a clone: it compiles src/ into dist/.
// It does nothing where dist/ is up to date, and where there is nothing to compile (an installed package) or to compile
// with (`npm ci --omit=dev`). Plain JavaScript, since it runs where no TypeScript runner is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const dist = join(root, 'dist');
const program = join(dist, 'cli', 'main.js');
const stampPath = join(dist, '.source-digest');

prepare();

function prepare() {
  const compiler = findCompiler();
  if (!existsSync(join(root, 'src')) || compiler === null) return;
  const digest = sourceDigest(compiler.version);
  if (existsSync(program) && readStamp() === digest) return;
  rmSync(stampPath, { force: true });
  const { status } = spawnSync(process.execPath, [compiler.path, '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: ['ignore', 2, 2], // stdout belongs to `npm pack --json` and the like
  });
  // A failure under npx would stay in npx's cache and break it for good; the compiler has written what it could.
  if (status !== 0) process.exit(process.env.npm_command === 'exec' ? 0 : 1);
  removeLeftovers();
  chmodSync(program, 0o755);
  writeFileSync(stampPath, digest);
}

function findCompiler() {
  try {
    const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
    const { version, bin } = JSON.parse(readFileSync(manifest, 'utf8'));
    return { version, path: join(dirname(manifest), bin.tsc) };
  } catch {
    return null;
  }
}

function readStamp() {
  return existsSync(stampPath) ? readFileSync(stampPath, 'utf8') : null;
}

/** Changes with every source, with the settings and with the compiler. */
function sourceDigest(compilerVersion) {
  const hash = createHash('sha256').update(compilerVersion);
  const sources = filesIn('src').map(file => join('src', file));
  for (const file of ['tsconfig.json', 'tsconfig.build.json', ...sources]) {
    hash.update(`\0${file}\0`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

/** Outputs whose source was renamed or deleted must not be published. */
function removeLeftovers() {
  const sources = new Set(filesIn('src').map(file => file.replace(/\.ts$/, '')));
  for (const file of filesIn('dist')) {
    if (!sources.has(file.replace(/(\.d\.ts|\.js)(\.map)?$/, ''))) rmSync(join(dist, file));
  }
}

/** Paths of the files below a folder of the project, relative to that folder, sorted. */
function filesIn(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(join(root, folder).length + 1))
    .sort();
}
