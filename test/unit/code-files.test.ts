import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOfCode, filesBehind, filesOfCommand } from '../../src/files/code-files.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** Files of a scorer, the first one its entry; the last ones are beside it but nothing leads to them. */
const scorers: Record<string, { files: Record<string, string>; strangers: string[] }> = {
  'a module': {
    files: {
      'score.mjs': `import { right } from './rules.mjs'; export * from './lib/more.js';\n export const score = right;`,
      'rules.mjs': `import table from './table.json' with { type: 'json' };\n export const right = () => table.right;`,
      'table.json': '{"right": 1}',
      'lib/more.js': `const { half } = require('./half.cjs');\n export const late = () => import('./late.mjs');`,
      'lib/half.cjs': `module.exports.half = 0.5;`,
      'lib/late.mjs': `import { readFileSync } from 'node:fs';\n readFileSync(new URL('../words.txt', import.meta.url));`,
      'words.txt': 'yes\nno\n',
      'node_modules/grader/package.json': '{"name": "grader", "version": "1.0.0"}',
    },
    strangers: ['other.mjs', 'train.jsonl'],
  },
  'a module with types': {
    files: {
      'method.ts': `import { type A, one } from './rules.js';\nimport type { B } from './types.ts';\nexport const f = <T,>(a: A & B): T | null => one(a) as T;`,
      'rules.ts': `import { two } from './lib';\nexport type A = { readonly x?: RegExp };\nexport const one = (a: A) => two(a);`,
      'types.ts': 'export type B = never;',
      'lib/index.ts': `export const two = async (a: unknown) => (await import('../late.ts')).three(a);`,
      'late.ts': 'export const three = String;',
    },
    strangers: ['other.ts', 'rules.js.map'],
  },
  'a Python program': {
    files: {
      'score.py': 'import json, rules\nfrom grading import (\n    numbers,\n    words as w,\n)\n',
      'rules.py': 'def right(): return True\n',
      'grading/__init__.py': '',
      'grading/numbers.py': 'from .base import parse\nfrom . import units\n',
      'grading/words.py': '',
      'grading/base.py': '',
      'grading/units.py': '',
    },
    strangers: ['other.py', 'grading/unused.py'],
  },
  'a shell script': {
    files: {
      'score.sh': '#!/bin/sh\nexec awk -f rules.awk "$@"\n',
      'rules.awk': '{ print 1 }\n',
    },
    strangers: ['other.awk'],
  },
};

function written({ files, strangers }: (typeof scorers)[string]) {
  const folder = temporaryDirectory();
  const write = (name: string, text: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  for (const [name, text] of Object.entries(files)) write(name, text);
  for (const name of strangers) write(name, 'nothing');
  return { entry: join(folder, Object.keys(files)[0] ?? ''), write };
}

describe.each(Object.entries(scorers))('the digest of %s', (_, scorer) => {
  // The package of the module is reached by name.
  if ('score.mjs' in scorer.files) scorer.files['rules.mjs'] += `\nimport 'grader';`;
  if ('score.mjs' in scorer.files) scorer.files['node_modules/grader/index.js'] = '';

  const led = Object.keys(scorer.files).filter(name => name !== 'node_modules/grader/index.js');
  test.each(led)('changes with %s', name => {
    const { entry, write } = written(scorer);
    const before = digestOfCode([entry], []);
    write(name, `${scorer.files[name]} `);
    expect(digestOfCode([entry], [])).not.toBe(before);
  });

  test.each(scorer.strangers)('does not change with %s', name => {
    const { entry, write } = written(scorer);
    const before = digestOfCode([entry], []);
    write(name, 'something');
    expect(digestOfCode([entry], [])).toBe(before);
  });

  test('is the same wherever it lies', () => {
    expect(digestOfCode([written(scorer).entry], [])).toBe(digestOfCode([written(scorer).entry], []));
  });
});

describe('the digest of a scorer', () => {
  test('changes with what scorer_inputs names, a file or a folder, and refuses what is not there', () => {
    const { entry, write } = written({ files: { 'score.mjs': '' }, strangers: ['units.csv', 'data/a.txt'] });
    const folder = dirname(entry);
    const digest = () => digestOfCode([entry], [join(folder, 'units.csv'), join(folder, 'data')]);
    const before = digest();
    write('units.csv', 'm,1');
    const after = digest();
    write('data/b.txt', 'more');
    expect(new Set([before, after, digest()]).size).toBe(3);
    expect(() => digestOfCode([entry], [join(folder, 'none')])).toThrow('scorer_inputs names');
  });

  test('is not stopped by modules that import each other', () => {
    const { entry } = written({
      files: { 'a.mjs': `import './b.mjs';`, 'b.mjs': `import './a.mjs';` },
      strangers: [],
    });
    expect(filesBehind([entry]).length).toBe(2);
  });
});

test('a command leads to its script, wherever that stands among its arguments', () => {
  const { entry } = written({ files: { 'score.py': '' }, strangers: [] });
  expect(filesOfCommand(['python3', '-u', entry, '--strict'])).toEqual([entry]);
  expect(filesOfCommand([entry, 'x'])).toEqual([entry]);
  expect(filesOfCommand(['python3', '-m', 'lab.make_model'])).toEqual([join('lab', 'make_model.py')]);
});
