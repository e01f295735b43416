import { describe, expect, it } from 'vitest';
import { ExactNumber, parseJson, toJson, withDoubles, writtenText } from '../../src/data/json.ts';

describe('parseJson', () => {
  it.each([
    '{"a":[1,-2.5,true,null,"x"],"b":{"c":[]}}',
    ' {"a" : "\\"\\\\\\/\\u00e9\\ud83d\\ude00" , "": [ [ ] , { } ] }\r',
    '"é \u{1F600} \u2028"',
    '{"__proto__": {"x": 1}, "constructor": 2}',
    '[0, 10, 3.25, 123456789012345, "\\\\"]',
  ])('reads %s as JSON.parse does', text => {
    const expected = JSON.parse(text);
    expect(parseJson(text)).toEqual(expected);
    expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(expected));
  });

  it.each(['3.50', '1.0', '1e5', '1E+2', '-0', '-0.0', '12345678901234567891', '0.1000'])(
    'keeps the digits of %s',
    written => {
      expect(parseJson(written)).toEqual(new ExactNumber(written));
      expect(withDoubles(parseJson(`[${written}]`))).toEqual([Number(written)]);
    },
  );

  it.each([
    ['{"a": 1', /expected a comma or \} at column 8, found the end of the line/],
    ['{"a": 1,}', /expected a key in double quotes at column 9, found "}"/],
    ['[1,]', /expected a value at column 4/],
    ['[1 2]', /expected a comma or \] at column 4/],
    ['{"a" 1}', /expected a colon at column 6/],
    ['{} {}', /expected the end at column 4/],
    ['01', /expected the end at column 2/],
    ['.5', /expected a value at column 1/],
    ['True', /expected a value at column 1, found "True"/],
    ['"abc', /a text without its closing quote/],
    ['"ab\\"', /a text without its closing quote/],
    ['"a\tb"', /expected an escape such as \\n in the text at column 3/],
    ['"a\\x"', /an escape that JSON does not know, in the text at column 1/],
    ['{"a": NaN}', /^NaN is no JSON: write null/],
    ['[-Infinity]', /^-Infinity is no JSON/],
    ['{"a": 1, "b": 2, "a": 3}', /^the key "a" stands twice$/],
    ['"\\ud83d"', /^a text has half a character \(\\ud83d, a lone surrogate\)/],
    ['{"\\ude00\\ud83d": 1}', /half a character \(\\ude00/],
    [`${'['.repeat(600)}${']'.repeat(600)}`, /nested deeper than 500/],
  ])('refuses %s', (text, message) => {
    expect(() => parseJson(text)).toThrow(message);
  });
});

describe('writtenText', () => {
  it.each([
    ['"x\\n"', 'x\n'],
    ['3', '3'],
    ['3.50', '3.50'],
    ['false', 'false'],
    ['[3.50, 1.0,  {"a": -0}]', '[3.50, 1.0,  {"a": -0}]'],
    ['["caf\\u00e9", "\\"q\\"", "\\/"]', '["café", "\\"q\\"", "/"]'],
    ['{"price": 12345678901234567891, "of": ["a, b"]}', '{"price": 12345678901234567891, "of": ["a, b"]}'],
  ])('of %s is %s', (json, expected) => {
    expect(writtenText((parseJson(`{"column": ${json}}`) as { column: unknown }).column)).toBe(expected);
  });

  it('of null is none, and of a value that no file wrote its JSON', () => {
    expect(writtenText(null)).toBeNull();
    expect(writtenText(['a', { b: 1 }])).toBe('["a",{"b":1}]');
  });
});

describe('toJson', () => {
  it('writes what was read, and on request the same for every order of keys', () => {
    const value = parseJson('{"b": 1.0, "a": [2e3, "\\u00e9"], "c": {"z": null, "y": true}}');
    expect(toJson(value)).toBe('{"b":1.0,"a":[2e3,"é"],"c":{"z":null,"y":true}}');
    expect(toJson(value, true)).toBe('{"a":[2e3,"é"],"b":1.0,"c":{"y":true,"z":null}}');
  });
});
