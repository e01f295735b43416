/** What a run takes for its own in a directory, what it leaves alone, and what a resume makes of what a crash left. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { inspectRun } from '../../src/run/existing-run.ts';
import { disturbance } from '../../src/run/numerics.ts';
import { metricsLine, type TimingLine } from '../../src/run/records.ts';
import { RunDirectory } from '../../src/run/run-directory.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const identity = {
  configDigest: 'c',
  baseDigest: 'b',
  dataDigest: 'd',
  evaluationDigests: { 'evaluation set kept': 'e' },
  methodDigest: null,
};
const facts = {
  id: 'r',
  method: 'sft',
  tmsVersion: 'test',
  templateDate: '2026-11-26',
  numerics: { 'worker.token_budget': 2048, torch: '2.13.0' },
  ...identity,
} as const;
const deadPart = `tms-${2 ** 30}-0a1b2c3d.part`;
let path: string;
beforeEach(() => {
  path = join(temporaryDirectory(), 'run');
});

const text = (name: string) => readFileSync(join(path, name), 'utf8');
const begin = () => RunDirectory.create(path, facts);
const resume = () => RunDirectory.resume(path, identity);

describe('a directory', () => {
  test.each(['thesis.tex.part', 'backup.part/photos', 'x.tmp-123/y', 'lock-notes', 'run.yaml'])(
    'with a person’s %s is not free, and nothing in it is touched',
    name => {
      mkdirSync(join(path, name, '..'), { recursive: true });
      writeFileSync(join(path, name), 'mine');
      expect(inspectRun(path)).toBe('other');
      expect(begin).toThrow('another run began');
      expect(text(name)).toBe('mine');
      expect(readdirSync(path)).toHaveLength(1);
    },
  );

  test('that holds only what a killed start left is free', () => {
    for (const name of [`lock.${deadPart}`, 'lock-12345-deadbeef'])
      mkdirSync(join(path, name), { recursive: true });
    writeFileSync(join(path, `run.json.${deadPart}`), '{');
    expect(inspectRun(path)).toBe('free');
    begin().close();
    expect(readdirSync(path).sort()).toEqual(['lock-12345-deadbeef', 'run.json']);
  });

  test('is resumed without what a killed attempt had begun to write; a person’s files and links stay', () => {
    begin().close();
    mkdirSync(join(path, 'models', `sft.${deadPart}`, 'deep'), { recursive: true });
    writeFileSync(join(path, `metrics.jsonl.${deadPart}`), '{');
    const kept = ['models/notes.part', 'draft.tmp-123', `linked.${deadPart}`];
    writeFileSync(join(path, 'models/notes.part'), 'mine');
    writeFileSync(join(path, 'draft.tmp-123'), 'mine');
    const elsewhere = temporaryDirectory();
    writeFileSync(join(elsewhere, 'thesis'), 'mine');
    symlinkSync(elsewhere, join(path, `linked.${deadPart}`));
    resume().close();
    expect(kept.filter(name => existsSync(join(path, name)))).toEqual(kept);
    expect(readdirSync(path).sort()).toEqual(['draft.tmp-123', `linked.${deadPart}`, 'models', 'run.json']);
    expect(readdirSync(join(path, 'models'))).toEqual(['notes.part']);
    expect(readdirSync(elsewhere)).toEqual(['thesis']);
  });

  test.each([
    ['', /run\.json is damaged.*it is empty/],
    ['{"format": 1', /run\.json is damaged.*not JSON/],
    ['{"format": 2}', /run\.json is damaged, or not of this version.*format/],
  ])(
    'whose run.json is %j is refused by name, with a way on, and its lock is released',
    (content, message) => {
      begin().close();
      writeFileSync(join(path, 'run.json'), content);
      expect(resume).toThrow(
        expect.objectContaining({ message: expect.stringMatching(message), exitCode: 3 }),
      );
      expect(existsSync(join(path, 'lock'))).toBe(false);
    },
  );

  test.each([
    ['configDigest', 'other', 'the configuration'],
    ['baseDigest', 'other', 'the base model'],
    ['dataDigest', 'other', 'the data'],
    ['evaluationDigests', { 'evaluation set kept': 'other' }, 'evaluation set kept'],
    ['evaluationDigests', { ...identity.evaluationDigests, 'evaluation set new': 'n' }, 'evaluation set new'],
    ['evaluationDigests', {}, 'evaluation set kept'],
  ] as const)('is not resumed when %s is %j', (key, value, name) => {
    begin().close();
    expect(() => RunDirectory.resume(path, { ...identity, [key]: value })).toThrow(
      `${path} cannot be resumed: ${name} changed since it began`,
    );
    expect(existsSync(join(path, 'lock'))).toBe(false);
  });

  test('notes from when it went on with something else, and says what', () => {
    begin().close();
    const same = resume();
    expect(same.goOnWith(facts.numerics)).toEqual([]);
    same.ledger.append({ unit: 'checkpoint', training: 'sft', step: 4, weightsDigest: 'w', files: 'f' });
    const now = { 'worker.token_budget': 512, torch: '2.13.0' };
    expect(disturbance(path, facts.numerics)).toEqual({});
    expect(disturbance(path, now)).toEqual({ disturbed: 'r 2' });
    expect(same.goOnWith(now)).toEqual(['worker.token_budget: 2048 → 512']);
    same.close();
    expect(JSON.parse(text('run.json')).numerics).toEqual([
      { at: expect.any(String), after: null, values: facts.numerics },
      { at: expect.any(String), after: 'checkpoint sft 4', values: now },
    ]);
    for (const numerics of [now, facts.numerics])
      expect(disturbance(path, numerics).disturbed, 'also when it is as before').toMatch(/^r [23]$/);
  });

  test('whose record cannot be written does not stay locked', () => {
    mkdirSync(path);
    mkdirSync(join(path, 'run.json'));
    expect(begin).toThrow();
    expect(existsSync(join(path, 'lock'))).toBe(false);
  });
});

describe('a resume', () => {
  const timing = (unit: string, tokens: number): TimingLine => ({
    unit,
    kind: 'train',
    training: 'sft',
    seconds: 1,
    tokens,
  });
  const metrics = (step: number) => metricsLine.parse({ training: 'sft', step, loss: 1 });

  /** Two trained segments and an evaluation, of which the second segment was saved; then work that no line of the ledger covers. */
  function killedRun() {
    const directory = begin();
    for (const step of [5, 10]) {
      directory.appendMetrics([metrics(step)]);
      directory.appendTiming(timing(`train sft ${step}`, step));
      const state = `states/sft-step-${step}`;
      directory.recordTraining({ training: 'sft', step, state, weightsDigest: 'w', files: 'f' });
    }
    directory.appendMetrics([metrics(12)]);
    directory.appendTiming(timing('train sft 12', 12));
    directory.ledger.append({
      unit: 'checkpoint',
      training: 'sft',
      step: 12,
      weightsDigest: 'w',
      files: 'f',
    });
    const covered = text('timing.jsonl');
    directory.appendMetrics([metrics(15)]);
    directory.appendTiming(timing('train sft 15', 15));
    directory.close();
    return { covered };
  }

  test('cuts times back to the work that is done: the cost is that of the run, not of all attempts', () => {
    const { covered } = killedRun();
    const directory = resume();
    expect(text('timing.jsonl')).toBe(covered);
    expect([10, 12, 15].map(step => directory.isTimed('sft', step))).toEqual([true, true, false]);
    expect(directory.isTimed('student', 1)).toBe(false);
    expect(text('metrics.jsonl').trimEnd().split('\n')).toHaveLength(2);
    directory.close();
  });

  test('takes a last line without its end for none, in times, metrics and ledger', () => {
    killedRun();
    for (const name of ['timing.jsonl', 'metrics.jsonl'])
      truncateSync(join(path, name), statSync(join(path, name)).size - 5);
    truncateSync(join(path, 'ledger.jsonl'), statSync(join(path, 'ledger.jsonl')).size - 1); // the newline only
    const directory = resume();
    expect(directory.droppedLedgerLines).toBe(0);
    directory.ledger.append({
      unit: 'checkpoint',
      training: 'sft',
      step: 13,
      weightsDigest: 'w',
      files: 'f',
    });
    directory.close();
    const again = resume();
    expect(again.ledger.entries.map(({ step }) => step)).toEqual([5, 10, 12, 13]);
    expect(again.droppedLedgerLines).toBe(0);
    again.close();
  });

  test('lets no new line be glued to one that a full disk cut off', () => {
    const { covered } = killedRun();
    truncateSync(join(path, 'timing.jsonl'), covered.length - 5);
    const directory = resume();
    directory.appendTiming(timing('train sft 20', 20));
    directory.close();
    const units = text('timing.jsonl')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).unit);
    expect(units).toEqual(['train sft 5', 'train sft 10', 'train sft 20']);
  });

  test('does again what the metrics were lost of, from a place where they are whole', () => {
    killedRun();
    truncateSync(join(path, 'metrics.jsonl'), text('metrics.jsonl').indexOf('\n') + 10); // in the second line
    const directory = resume();
    expect(directory.ledger.entries.map(({ step }) => step)).toEqual([5]);
    expect(directory.trainedTo('sft')).toBe(5);
    directory.appendMetrics([metrics(10)]);
    directory.close();
    expect(text('metrics.jsonl')).toBe(
      '{"training":"sft","step":5,"loss":1}\n{"training":"sft","step":10,"loss":1}\n',
    );
  });

  test('cuts a damaged ledger before the damage', () => {
    killedRun();
    appendFileSync(join(path, 'ledger.jsonl'), 'half a li');
    const directory = resume();
    expect([directory.droppedLedgerLines, directory.ledger.entries.length]).toEqual([1, 3]);
    directory.close();
  });
});
