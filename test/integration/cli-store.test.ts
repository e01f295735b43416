import { existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { holdLock } from '../../src/files/lock.ts';
import { ownIdentity } from '../../src/files/process-identity.ts';
import { useStore } from '../../src/store/in-use.ts';
import { keepFinished, openStore, type Store } from '../../src/store/store.ts';
import { tms } from '../support/command-line.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

describe('tms store', () => {
  test('ls says what each digest stands for, the longest unused first', () => {
    const { env, store } = madeUpStore();
    const { status, stdout } = tms(['store', 'ls'], { env });
    expect(status).toBe(0);
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^kind +name +size +last use +what$/);
    expect(rows[0]).toMatch(
      /^trainings +aaaa +\S+ k?B +\d{4}-\d\d-\d\d \d\d:\d\d {2}456 steps, learning rate 0.0001, LoRA r 8, 2 checkpoints, from base 0123abcd$/,
    );
    expect(rows[1]).toMatch(/^trainings +bbbb .* not finished, 1 checkpoint$/);
    expect(rows[2]).toMatch(/^answers +cccc\.jsonl +2\.01 kB .* 2 answers$/);
    expect(rows[3]).toMatch(/^evaluations +dddd\.json .* student at step 30$/);
    expect(rows[4]).toMatch(new RegExp(`^4 items \\(\\d\\.\\d+ kB\\) in ${store.root}$`));
    const { items } = JSON.parse(tms(['store', 'ls', '--json'], { env }).stdout);
    expect(items[2]).toMatchObject({ kind: 'answers', name: 'cccc.jsonl', bytes: 2006, what: '2 answers' });
  });

  test('ls of a store that no run has made is empty and makes none', () => {
    const home = join(temporaryDirectory(), 'home');
    const { status, stdout } = tms(['store', 'ls'], { env: { TMS_HOME: home } });
    expect([status, stdout]).toEqual([0, `0 items (0 B) in ${join(home, 'store')}\n`]);
    expect(existsSync(home)).toBe(false);
  });

  test('prune removes by age and by size, after a dry run that removes nothing', () => {
    const { env, there } = madeUpStore();
    const dry = tms(['store', 'prune', '--older-than', '25d', '--dry-run'], { env });
    expect(dry.stdout).toMatch(/\nwould remove 2 items \(.+\) of 4 items \(.+\)\n$/);
    expect(there()).toEqual([
      'trainings/aaaa',
      'trainings/bbbb',
      'answers/cccc.jsonl',
      'evaluations/dddd.json',
    ]);
    expect(tms(['store', 'prune', '--older-than', '25d', '--yes'], { env }).status).toBe(0);
    expect(there()).toEqual(['answers/cccc.jsonl', 'evaluations/dddd.json']);
    const bySize = tms(['store', 'prune', '--keep-bytes', '1K', '--yes'], { env });
    expect(bySize.stdout).toMatch(/^removed 1 item \(2\.01 kB\); 1 item \(43 B\) are left\n$/);
    expect(there()).toEqual(['evaluations/dddd.json']);
  });

  test('ls and prune see token ids of data sets, and what killed processes had begun to write; nothing else', () => {
    const { env, store, there } = madeUpStore();
    const dead = `tms-${2 ** 30}-0a1b2c3d.part`;
    const tokens = join(store.cache, `tokens-${'0'.repeat(64)}.bin`);
    const going = [
      tokens,
      join(store.cache, 'train.parquet-0123456789abcdef.jsonl'),
      join(store.cache, `tokens-1.bin.${dead}`),
      join(store.root, 'evaluations', `eeee.json.${dead}`),
      join(store.root, 'trainings', 'aaaa', `step-000500.${dead}`, 'model.safetensors'),
      join(store.root, `lock.${dead}`, 'owner.json'),
      join(dirname(store.root), `throughput.json.${dead}`),
    ];
    const staying = [
      join(store.cache, 'notes.part'),
      join(store.cache, 'photos', 'tokens.bin'),
      join(dirname(store.root), 'thesis.part'),
      join(store.root, 'answers', `ffff.jsonl.tms-${process.pid}-0a1b2c3d.part`), // of a living process
    ];
    for (const path of [...going, ...staying]) writeAt(path, 'x');
    const { stdout } = tms(['store', 'ls'], { env });
    expect(stdout).toMatch(/^cache +tokens-00000 .* token ids of a data set$/m);
    expect(stdout.match(/^unfinished .* left by a process that was killed$/gm)).toHaveLength(5);
    expect(stdout).toMatch(/^11 items /m);
    expect(tms(['store', 'prune', '--all', '--yes'], { env }).stdout).toMatch(/^removed 11 items/);
    expect(there()).toEqual([]);
    expect([...going, ...staying].filter(path => existsSync(path))).toEqual(staying);
  });

  test('a run that begins clears away the marks of killed ones', async () => {
    const { store } = madeUpStore();
    const dead = { ...ownIdentity(), pid: 2 ** 30, since: 'yesterday' };
    writeAt(join(store.root, 'in-use', 'killed', 'owner.json'), JSON.stringify(dead));
    writeAt(
      join(store.root, 'in-use', 'elsewhere', 'owner.json'),
      JSON.stringify({ ...dead, place: 'another boot', host: 'node-17' }),
    );
    const release = await useStore(store, () => undefined);
    const marks = readdirSync(join(store.root, 'in-use'));
    expect(marks).not.toContain('killed');
    expect(marks).toHaveLength(2);
    expect(marks).toContain('elsewhere');
    release();
  });

  test('what is kept for a user is nobody else’s to read', () => {
    const home = join(temporaryDirectory(), 'home');
    openStore(home);
    expect(statSync(home).mode & 0o777).toBe(0o700);
  });

  test('prune is refused while a run uses the store, and a killed run does not count', async () => {
    const { env, store, there } = madeUpStore();
    const release = await useStore(store, () => undefined);
    const refused = tms(['store', 'prune', '--all', '--yes'], { env });
    expect(refused.status).toBe(3);
    expect(refused.stderr).toContain(
      `the store ${store.root} is in use by process ${process.pid} on ${hostname()}`,
    );
    expect(there()).toHaveLength(4);
    release();
    const dead = { ...ownIdentity(), pid: 2 ** 30, since: 'yesterday' };
    writeAt(join(store.root, 'in-use', 'killed', 'owner.json'), JSON.stringify(dead));
    expect(tms(['store', 'prune', '--all', '--yes'], { env }).status).toBe(0);
    expect(there()).toEqual([]);
  });

  test('a run that begins while the store is pruned waits for it', async () => {
    const { store } = madeUpStore();
    const endPruning = holdLock(join(store.root, 'lock'), 'the store');
    const said: string[] = [];
    const release = await useStore(store, line => {
      said.push(line);
      endPruning();
    });
    release();
    expect(said).toEqual([
      expect.stringMatching(`^waiting for process ${process.pid} on .*, which prunes the store$`),
    ]);
  });

  test.each([
    [[], 'was not told what to remove'],
    [['--all'], 'there is no terminal to ask'],
  ])('prune %j is refused with 3 and removes nothing', (args, message) => {
    const { env, there } = madeUpStore();
    const { status, stderr } = tms(['store', 'prune', ...args], { env });
    expect(status).toBe(3);
    expect(stderr).toContain(message);
    expect(there()).toHaveLength(4);
  });
});

/** A finished and an unfinished training, two answers of 1003 bytes each, an evaluation; used 40, 30, 20 and 1 days ago. */
function madeUpStore(): { env: NodeJS.ProcessEnv; store: Store; there: () => string[] } {
  const home = temporaryDirectory();
  const store = openStore(home);
  const files = { trainings: join(store.root, 'trainings'), answers: join(store.root, 'answers') };
  const recipe = {
    from: 'base 0123abcd4567',
    schedule: { peak: 1e-4 },
    adapter: { r: 8 },
  };
  keepFinished(store, 'aaaa', { steps: 456, weights: {}, digests: {}, metrics: [], recipe });
  writeAt(join(files.trainings, 'aaaa', 'step-000228', 'model.safetensors'), 'w');
  writeAt(join(files.trainings, 'aaaa', 'step-000456', 'model.safetensors'), 'w');
  writeAt(join(files.trainings, 'bbbb', 'step-000010', 'model.safetensors'), 'w');
  writeAt(join(files.answers, 'cccc.jsonl'), `${'a'.repeat(1002)}\n`.repeat(2));
  writeAt(
    join(store.root, 'evaluations', 'dddd.json'),
    JSON.stringify({ record: { training: 'student', step: 30 } }),
  );
  const ages = {
    'trainings/aaaa/step-000228/model.safetensors': 40,
    'trainings/aaaa/step-000456/model.safetensors': 40,
    'trainings/aaaa/step-000228': 40,
    'trainings/aaaa/step-000456': 40,
    'trainings/aaaa/finished.json': 40,
    'trainings/aaaa': 40,
    'trainings/bbbb/step-000010/model.safetensors': 30,
    'trainings/bbbb/step-000010': 30,
    'trainings/bbbb': 30,
    'answers/cccc.jsonl': 20,
    'evaluations/dddd.json': 1,
  };
  for (const [name, days] of Object.entries(ages)) {
    const usedAt = new Date(Date.now() - days * 86_400_000);
    utimesSync(join(store.root, name), usedAt, usedAt);
  }
  const names = ['trainings/aaaa', 'trainings/bbbb', 'answers/cccc.jsonl', 'evaluations/dddd.json'];
  const there = () => names.filter(name => existsSync(join(store.root, name)));
  return { env: { TMS_HOME: home }, store, there };
}

function writeAt(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
