import { describe, expect, it } from 'vitest';
import { applyOverrides, parseOverride } from '../../src/config/overrides.ts';

describe('parseOverride', () => {
  it.each([
    ['tms.alpha=0.5', ['tms', 'alpha'], 0.5],
    ['learning_rate=1e-4', ['learning_rate'], 1e-4],
    ['determinism=off', ['determinism'], 'off'],
    ['use_peft=true', ['use_peft'], true],
    ['run_name=', ['run_name'], undefined],
    ['run_name=null', ['run_name'], null],
    ['report_to=[wandb]', ['report_to'], ['wandb']],
    ['eval.sets.0.limit=10', ['eval', 'sets', 0, 'limit'], 10],
    ['run_name=a=b', ['run_name'], 'a=b'],
  ])('reads %s', (text, path, value) => {
    expect(parseOverride(text)).toEqual({ path, value });
  });

  it.each(['alpha', '=1', 'a..b=1', 'a=[1'])('refuses %s and shows the form', text => {
    expect(() => parseOverride(text)).toThrow(/--set: 1 problem\n {2}found ".*", expected/);
  });
});

describe('applyOverrides', () => {
  it('makes missing blocks, replaces entries of lists, and leaves the input alone', () => {
    const input = { seed: 1, sets: [{ limit: 5 }] };
    const overrides = [
      { path: ['tms', 'alpha'], value: 0 },
      { path: ['sets', 0, 'limit'], value: 7 },
      { path: ['seed'], value: 2 },
      { path: ['seed'], value: 3 },
    ];
    expect(applyOverrides(input, overrides)).toEqual({ seed: 3, sets: [{ limit: 7 }], tms: { alpha: 0 } });
    expect(input).toEqual({ seed: 1, sets: [{ limit: 5 }] });
  });

  it('takes a key or an entry out where no value is given', () => {
    const input = { seed: 1, tms: { alpha: 0 }, sets: [{ limit: 5, name: 'a' }, { name: 'b' }] };
    const out = (...path: (string | number)[]) => applyOverrides(input, [{ path, value: undefined }]);
    expect(out('seed')).toEqual({ tms: { alpha: 0 }, sets: input.sets });
    expect(out('tms', 'alpha')).toEqual({ ...input, tms: {} });
    expect(out('sets', 0, 'limit')).toEqual({ ...input, sets: [{ name: 'a' }, { name: 'b' }] });
    expect(out('sets', 0)).toEqual({ ...input, sets: [{ name: 'b' }] });
    expect(out('nothing', 'here')).toEqual(input);
  });
});
