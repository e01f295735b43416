/** What a start tidies away in the temporary folder, and all that it must leave alone. Real sockets, links, and other users' files. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { removeSocketDirectory, socketDirectory, socketPath } from '../../src/worker/socket-directory.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const isRoot = process.getuid?.() === 0;
const nobody = 65534;
const uid = process.getuid?.() ?? 0;
const inherited = { TMPDIR: process.env.TMPDIR };
let folder: string;
let base: string;

beforeEach(() => {
  folder = temporaryDirectory();
  process.env.TMPDIR = folder;
  base = join(folder, `tms-${uid}`);
});
afterEach(() => {
  if (inherited.TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = inherited.TMPDIR;
});

/** Long enough ago that whoever made it has long been connected. */
function age(path: string): void {
  const longAgo = new Date(Date.now() - 3_600_000);
  utimesSync(path, longAgo, longAgo);
}

/** A folder with a socket whose process was killed. */
function leftover(name: string): string {
  const directory = join(base, name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = JSON.stringify(socketPath(directory));
  const code = `require('net').createServer().listen(${path}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', code]);
  age(directory);
  return directory;
}

test('it is a new folder that only its user can enter, and is gone after its end', async () => {
  const directory = await socketDirectory({});
  expect(dirname(directory)).toBe(base);
  expect([base, directory].map(path => lstatSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
  expect(await socketDirectory({})).not.toBe(directory);
  removeSocketDirectory(directory);
  removeSocketDirectory(directory);
  expect(existsSync(directory)).toBe(false);
});

test('the runtime folder of the session comes first; one that is not there does no harm', async () => {
  const runtime = join(folder, 'run');
  expect(dirname(await socketDirectory({ XDG_RUNTIME_DIR: runtime }))).toBe(base);
  mkdirSync(runtime, { mode: 0o700 });
  expect(dirname(await socketDirectory({ XDG_RUNTIME_DIR: runtime }))).toBe(join(runtime, 'tms'));
});

test('a leftover of a killed process goes at the next start, an empty one too', async () => {
  const dead = leftover('w-abcdef');
  const empty = join(base, 'w-123456');
  mkdirSync(empty);
  age(empty);
  expect(readdirSync(dead)).toEqual(['w']);
  const directory = await socketDirectory({});
  expect(readdirSync(base)).toEqual([basename(directory)]);
});

test('a socket on which somebody listens stays, whatever its pid is: it may live in another container', async () => {
  const directory = leftover('w-abcdef');
  const socket = socketPath(directory);
  spawnSync('rm', [socket]);
  const server = createServer().listen(socket);
  onTestFinished(() => void server.close());
  await new Promise(resolve => server.once('listening', resolve));
  age(directory);
  await socketDirectory({});
  expect(existsSync(socket)).toBe(true);
});

test('a worker that starts in this moment has not bound its socket yet: a young folder stays', async () => {
  const young = await socketDirectory({});
  const alsoYoung = leftover('w-abcdef');
  utimesSync(alsoYoung, new Date(), new Date());
  await socketDirectory({});
  expect([young, alsoYoung].map(path => existsSync(path))).toEqual([true, true]);
});

test('nothing else is touched: links, files, folders of that name, other files beside a socket', async () => {
  const victim = temporaryDirectory();
  mkdirSync(join(victim, 'deep'));
  writeFileSync(join(victim, 'deep', 'thesis'), 'years of work');
  const mixed = leftover('w-mixed_');
  writeFileSync(join(mixed, 'notes'), 'mine');
  const own = join(base, 'w-photos');
  mkdirSync(own);
  writeFileSync(join(own, 'w'), 'a file, no socket');
  symlinkSync(victim, join(base, 'w-linked'));
  const elsewhere = join(folder, 'elsewhere');
  renameSync(leftover('w-moved_'), elsewhere);
  symlinkSync(elsewhere, join(base, 'w-behind'));
  writeFileSync(join(base, 'w-report'), 'a plain file');
  for (const name of ['tms-3999998-abcdef', 'tms-2025-backup']) symlinkSync(victim, join(folder, name));
  mkdirSync(join(folder, 'tms-3999997-abcdef'));
  writeFileSync(join(folder, 'tms-3999996-report'), 'mine');
  for (const path of [mixed, own]) age(path);
  await socketDirectory({});
  expect(readFileSync(join(victim, 'deep', 'thesis'), 'utf8')).toBe('years of work');
  expect(readdirSync(mixed).sort()).toEqual(['notes', 'w']);
  expect(readdirSync(elsewhere)).toEqual(['w']);
  expect(readFileSync(join(own, 'w'), 'utf8')).toBe('a file, no socket');
  expect(readdirSync(base)).toEqual(expect.arrayContaining(['w-linked', 'w-report']));
  expect(readdirSync(folder)).toEqual(
    expect.arrayContaining([
      'tms-3999998-abcdef',
      'tms-2025-backup',
      'tms-3999997-abcdef',
      'tms-3999996-report',
    ]),
  );
});

test('a folder of that name that is a link, or that others may enter, is not used', async () => {
  const victim = temporaryDirectory();
  symlinkSync(victim, base);
  expect(dirname(await socketDirectory({}))).not.toBe(base);
  expect(readdirSync(victim)).toEqual([]);
  spawnSync('rm', [base]);
  mkdirSync(base);
  chmodSync(base, 0o755);
  expect(dirname(await socketDirectory({}))).not.toBe(base);
  expect(lstatSync(base).mode & 0o777).toBe(0o755);
});

test('where the temporary folder has too long a path, the folder in /tmp is used, and swept the same', async () => {
  process.env.TMPDIR = join(folder, 'x'.repeat(90));
  mkdirSync(process.env.TMPDIR);
  const directory = await socketDirectory({});
  onTestFinished(() => removeSocketDirectory(directory));
  expect(dirname(directory)).toBe(`/tmp/tms-${uid}`);
  base = `/tmp/tms-${uid}`;
  const dead = leftover('w-zzzzzz');
  removeSocketDirectory(await socketDirectory({}));
  expect(existsSync(dead)).toBe(false);
});

test('a TMPDIR that is not there is no obstacle', async () => {
  process.env.TMPDIR = join(folder, 'gone');
  const directory = await socketDirectory({});
  onTestFinished(() => removeSocketDirectory(directory));
  expect(dirname(directory)).toBe(`/tmp/tms-${uid}`);
});

test.runIf(isRoot)('a leftover of another user stays, and stops nobody', async () => {
  const foreign = leftover('w-abcdef');
  chownSync(foreign, nobody, nobody);
  const squatted = join(folder, 'run', 'tms');
  mkdirSync(squatted, { recursive: true, mode: 0o700 });
  chownSync(squatted, nobody, nobody);
  symlinkSync('/etc', join(base, 'w-foreig'));
  lchownSync(join(base, 'w-foreig'), nobody, nobody);
  const directory = await socketDirectory({ XDG_RUNTIME_DIR: join(folder, 'run') });
  expect(dirname(directory)).toBe(base);
  expect(existsSync(foreign)).toBe(true);
  expect(readdirSync(squatted)).toEqual([]);
});

test.runIf(isRoot)('a user who may not enter what others left starts all the same', () => {
  chmodSync(folder, 0o1777);
  leftover('w-abcdef'); // root's
  for (const name of ['tms-3999999-abcdef', `tms-${nobody}`]) mkdirSync(join(folder, name), { mode: 0o700 });
  const module = JSON.stringify(join(import.meta.dirname, '../../src/worker/socket-directory.ts'));
  const code = `process.setuid(${nobody}); const { socketDirectory } = await import(${module});
    console.log(await socketDirectory({}));`;
  const result = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    encoding: 'utf8',
    cwd: join(import.meta.dirname, '../..'),
  });
  expect(result.stderr).toBe('');
  const directory = result.stdout.trim();
  expect(lstatSync(directory)).toMatchObject({ uid: nobody });
  expect(readdirSync(join(base, 'w-abcdef'))).toEqual(['w']);
  expect(existsSync(join(folder, 'tms-3999999-abcdef'))).toBe(true);
});
