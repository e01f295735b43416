/** Names of what is being written, the reader of our records, and what the system refuses: real files and real errors of real calls. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { TmsError } from '../../src/errors.ts';
import { appendDurably, linkDirectoryAtomic, makePrivate, writeFileAtomic } from '../../src/files/atomic.ts';
import { holdLock, withLock } from '../../src/files/lock.ts';
import { readRecord } from '../../src/files/read-record.ts';
import { translateSystemError } from '../../src/files/system-error.ts';
import { isAbandoned, isTemporaryName, temporaryName } from '../../src/files/temporary-name.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('the name of what is being written', () => {
  test('is ours beyond doubt; no name that a person would give is', () => {
    expect(temporaryName('/a/model')).toMatch(/^\/a\/model\.tms-\d+-[0-9a-f]{8}\.part$/);
    expect(temporaryName('/a/model')).not.toBe(temporaryName('/a/model'));
    const theirs = [
      'thesis.tex.part',
      'backup.part',
      'x.tmp-123',
      'x.tmp-123-0a1b2c3d',
      'x.12345.part',
      'tms-1-0a1b2c3d.part',
      'x.tms-1-0a1b2c3d.part.bak',
    ];
    expect(theirs.filter(isTemporaryName)).toEqual([]);
    expect(isTemporaryName('model.tms-4242-0a1b2c3d.part')).toBe(true);
  });

  test('the worker makes the same', () => {
    const python = readFileSync(join(import.meta.dirname, '../../py_worker/atomic.py'), 'utf8');
    expect(python).toContain('f"{target.name}.tms-{os.getpid()}-{secrets.token_hex(4)}.part"');
  });

  test('is abandoned when its process is gone, or after a day', () => {
    const now = new Date();
    expect(isAbandoned(`x.tms-${2 ** 30}-0a1b2c3d.part`, now)).toBe(true);
    expect(isAbandoned(`x.tms-${process.pid}-0a1b2c3d.part`, now)).toBe(false);
    expect(isAbandoned(`x.tms-${process.pid}-0a1b2c3d.part`, new Date(+now - 90_000_000))).toBe(true);
    expect(isAbandoned(`x.${2 ** 30}.part`, now)).toBe(false);
  });
});

describe('a write that fails leaves nothing', () => {
  test('of a file, a copy, or a lock', () => {
    const folder = temporaryDirectory();
    const full = join(folder, 'taken');
    mkdirSync(join(full, 'inside'), { recursive: true });
    expect(() => writeFileAtomic(full, 'text')).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    mkdirSync(join(folder, 'from'));
    writeFileSync(join(folder, 'from', 'a'), '');
    expect(() => linkDirectoryAtomic(join(folder, 'from'), full)).toThrow('ENOTEMPTY');
    expect(readdirSync(folder).sort()).toEqual(['from', 'taken']);
  });
});

describe('a lock', () => {
  test('is gone after its work, also where that fails', async () => {
    const lock = join(temporaryDirectory(), 'lock');
    await expect(
      withLock(
        lock,
        () => {},
        () => Promise.reject(new Error('work')),
      ),
    ).rejects.toThrow('work');
    expect(existsSync(lock)).toBe(false);
  });

  test('that cannot be removed hides nothing', async () => {
    const folder = temporaryDirectory();
    const release = holdLock(join(folder, 'lock'), 'the run');
    spawnSync('rm', ['-r', folder]);
    writeFileSync(folder, 'a file where the folder was'); // every call below it fails: ENOTDIR
    expect(release).not.toThrow();
    spawnSync('rm', [folder]);
  });
});

describe('readRecord', () => {
  const schema = z.strictObject({ train: z.number() });
  test.each([
    ['', 'it is empty'],
    ['{"train": 1', /^not JSON \(/],
    ['{"train": "x"}', /^train: /],
    ['null', /^value: /],
    ['\0\0\0\0', /^not JSON/],
  ])('calls %j damaged, and says why', (text, why) => {
    const path = join(temporaryDirectory(), 'record.json');
    writeFileSync(path, text);
    expect(readRecord(path, schema)).toEqual({ value: null, damage: expect.stringMatching(why) });
  });

  test('tells absent from damaged from whole', () => {
    const path = join(temporaryDirectory(), 'record.json');
    expect(readRecord(path, schema)).toEqual({ value: null, damage: null });
    writeFileSync(path, '{"train": 2}');
    expect(readRecord(path, schema)).toEqual({ value: { train: 2 }, damage: null });
  });
});

describe('what the system refuses', () => {
  const errorOf = (work: () => unknown): TmsError => {
    try {
      work();
    } catch (error) {
      return translateSystemError(error) as TmsError;
    }
    throw new Error('nothing was refused');
  };

  test('is said with path, reason and what to do', () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, 'file'), '');
    symlinkSync('circle', join(folder, 'circle'));
    const cases: [() => unknown, RegExp][] = [
      [() => readFileSync(join(folder, 'gone')), /^cannot open \S+\/gone: there is no such file/],
      [() => readFileSync(join(folder, 'file', 'x')), /file\/x: a part of the path is a file/],
      [() => readFileSync(folder), /^cannot read.*: it is a folder/],
      [() => readFileSync(join(folder, 'circle')), /circle: its links lead in a circle \(ELOOP\)$/],
      [() => writeFileAtomic(join(folder, 'x'.repeat(256)), ''), /x: the name is too long \(ENAMETOOLONG\)$/],
    ];
    for (const [work, message] of cases) {
      const error = errorOf(work);
      expect(error.message).toMatch(message);
      expect(error).toMatchObject({ exitCode: 1, fix: 'check the path' });
    }
  });

  test.runIf(existsSync('/dev/full'))('a full disk names the file, how much is free, and the way out', () => {
    const error = errorOf(() => appendDurably('/dev/full', 'text'));
    expect(error.message).toMatch(
      /^cannot write \/dev\/full: the disk is full \(ENOSPC\); \d+ bytes are free there$/,
    );
    expect(error.fix).toMatch(/tms store prune/);
  });

  test('speaks of the file that was meant, not of the name under which it is written', () => {
    const path = join(temporaryDirectory(), 'x'.repeat(240)); // with what is put behind it 266
    expect(errorOf(() => writeFileAtomic(path, '')).message).toBe(
      `cannot open ${path}: the name is too long (ENAMETOOLONG)`,
    );
  });

  test('anything else stays as it is', () => {
    const mistakes = [new TypeError('x'), new TmsError('y'), 'z', null];
    expect(mistakes.map(translateSystemError)).toEqual(mistakes);
  });
});

test('what is kept for a user is nobody else’s to read', () => {
  const home = join(temporaryDirectory(), 'cache', 'tms');
  makePrivate(home);
  expect(statSync(home).mode & 0o777).toBe(0o700);
});
