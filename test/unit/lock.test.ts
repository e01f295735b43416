import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { holdLock, refuseHeld } from '../../src/files/lock.ts';
import { ownIdentity } from '../../src/files/process-identity.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** A lock folder as some owner left it, so many seconds after its last sign of life. */
function leftLock(owner: object | string, secondsAgo = 0): string {
  const path = join(temporaryDirectory(), 'lock');
  mkdirSync(path);
  const file = join(path, 'owner.json');
  writeFileSync(file, typeof owner === 'string' ? owner : JSON.stringify(owner));
  age(path, secondsAgo);
  return path;
}

function age(path: string, seconds: number): void {
  const then = Date.now() / 1000 - seconds;
  utimesSync(join(path, 'owner.json'), then, then);
}

const since = '2026-01-01T00:00:00.000Z';
const elsewhere = { pid: 7, host: `not-${hostname()}`, place: 'another boot', startedAt: '12', since };

describe('a lock is taken over', () => {
  test('where its number is another process by now, though that one lives', () => {
    const other = spawn('sleep', ['600']);
    try {
      holdLock(leftLock({ ...ownIdentity(), pid: other.pid, since, token: 'x' }), 'it')();
    } finally {
      other.kill();
    }
  });

  test('where its number is our own by now', () => {
    holdLock(leftLock({ ...ownIdentity(), startedAt: '1', since, token: 'x' }), 'it')();
    holdLock(leftLock({ ...ownIdentity(), since, token: 'x' }), 'it')();
  });

  test.each([
    ['of another host', elsewhere],
    ['of another container on this host', { ...elsewhere, host: hostname() }],
    ['that says nothing of its owner', ''],
    ['that was cut off', '{"pid": 1, "ho'],
    ['of a version that knew numbers only', { pid: process.pid, host: hostname(), since }],
  ])('where one %s shows no life for 30 s, and not before', (_, owner) => {
    holdLock(leftLock(owner, 31), 'it')();
    expect(() => holdLock(leftLock(owner, 20), 'the run directory')).toThrow(
      /the run directory is in use by .*last sign of life 2\d s ago/,
    );
  });
});

describe('a lock that is held', () => {
  test('is refused with its owner and the folder, to this process too, and is free when released', () => {
    const path = join(temporaryDirectory(), 'lock');
    const release = holdLock(path, 'the run directory runs/a');
    expect(() => holdLock(path, 'the run directory runs/a')).toThrow(
      `the run directory runs/a is in use by process ${process.pid} on ${hostname()}`,
    );
    expect(() => holdLock(path, 'it')).toThrow(
      expect.objectContaining({ fix: expect.stringContaining(path) }),
    );
    release();
    expect(existsSync(path)).toBe(false);
  });

  test('is not released by one that lost it', () => {
    const path = join(temporaryDirectory(), 'lock');
    const release = holdLock(path, 'it');
    const theirs = JSON.stringify({ ...elsewhere, token: 'theirs' });
    writeFileSync(join(path, 'owner.json'), theirs);
    release();
    expect(readFileSync(join(path, 'owner.json'), 'utf8')).toBe(theirs);
  });

  test('by one that cannot be seen is waited for until it has been silent for long enough', async () => {
    const said: string[] = [];
    await refuseHeld(leftLock(elsewhere, 28), 'runs/a', line => said.push(line));
    expect(said).toEqual([expect.stringContaining('waiting whether process 7 on not-')]);
  });

  test('by one that cannot be seen is refused at its next sign of life', async () => {
    const path = leftLock(elsewhere, 20);
    const waiting = refuseHeld(path, 'runs/a', () => age(path, 0));
    await expect(waiting).rejects.toThrow('runs/a is in use by process 7');
  });

  test('by one that can be seen is refused at once', async () => {
    const release = holdLock(join(temporaryDirectory(), 'lock'), 'it');
    const path = leftLock({ ...ownIdentity(), pid: process.ppid, since, token: 'x' });
    const parent = { ...ownIdentity(), pid: process.ppid, startedAt: startOfParent(), since, token: 'x' };
    writeFileSync(join(path, 'owner.json'), JSON.stringify(parent));
    await expect(refuseHeld(path, 'runs/a', () => {})).rejects.toThrow(`in use by process ${process.ppid}`);
    release();
  });
});

function startOfParent(): string {
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

test.runIf(existsSync('/usr/bin/prlimit'))(
  'a sign of life that finds no room on the disk ends nothing',
  () => {
    const lock = join(temporaryDirectory(), 'lock');
    const module = JSON.stringify(join(import.meta.dirname, '../../src/files/lock.ts'));
    const code = `import { execFileSync } from 'node:child_process';
    const beats = [];
    globalThis.setInterval = beat => { beats.push(beat); return { unref() { return this; } }; };
    const { holdLock } = await import(${module});
    holdLock(${JSON.stringify(lock)}, 'it');
    execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=0']);
    for (const beat of beats) beat();
    console.log(beats.length);
    process.exit(0);`;
    const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect([stdout, stderr]).toEqual(['1\n', '']);
    expect(JSON.parse(readFileSync(join(lock, 'owner.json'), 'utf8'))).toHaveProperty('token');
  },
);
