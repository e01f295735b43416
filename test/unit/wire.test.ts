import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Packr, Unpackr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { limits, type VerbName, verbs } from '../../src/worker/protocol.ts';
import { packRows, tensorBytes, tensorFromBytes, tensorOf, unpackRows } from '../../src/worker/tensors.ts';
import { decodeMessage, encodeMessage, tensorTable } from '../../src/worker/wire.ts';
import { splitMix } from '../support/split-mix.ts';

const fixtures = join(import.meta.dirname, '../fixtures/protocol');
const packr = new Packr({ useRecords: false, variableMapSize: true });
const pack = (value: unknown) => Buffer.from(packr.pack(value));

describe('golden fixtures', () => {
  const examples = JSON.parse(readFileSync(join(fixtures, 'examples.json'), 'utf8')) as Record<
    VerbName,
    unknown
  >;

  it.each(Object.keys(verbs) as VerbName[])(
    '%s: the bytes hold the example, and both schemas accept it',
    verb => {
      const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });
      const params = unpackr.unpack(readFileSync(join(fixtures, `${verb}.params.msgpack`)));
      const result = unpackr.unpack(readFileSync(join(fixtures, `${verb}.result.msgpack`)));
      expect({ params, result }).toEqual(examples[verb]);
      expect(verbs[verb].params.parse(params)).toEqual(params);
      expect(verbs[verb].result.parse(result)).toEqual(result);
    },
  );
});

describe('encodeMessage', () => {
  it('puts each tensor into its own frame, little-endian and without a copy', () => {
    const ids = Int32Array.of(1, 2, 300);
    const tensors = { ids: tensorOf('i32', ids), weights: tensorOf('f32', [0, 0.5]) };
    const request = {
      v: 1,
      t: 'req',
      id: 7,
      op: 'forward',
      p: { returnEntropy: true },
      tz: tensorTable(tensors),
    } as const;
    const [header, idsFrame, weightsFrame] = encodeMessage(request, tensors);
    expect(new Unpackr({ useRecords: false }).unpack(header as Buffer)).toEqual({
      ...request,
      tz: [
        ['ids', 'i32', [3]],
        ['weights', 'f32', [2]],
      ],
    });
    expect([...(idsFrame as Buffer)]).toEqual([1, 0, 0, 0, 2, 0, 0, 0, 44, 1, 0, 0]);
    expect([...(weightsFrame as Buffer)]).toEqual([0, 0, 0, 0, 0, 0, 0, 63]);
    expect(idsFrame?.buffer).toBe(ids.buffer);
  });

  it('refuses a header beyond the limit before anything is sent', () => {
    const text = 'x'.repeat(limits.headerBytes);
    const hello = { v: 1, t: 'hello', id: 0, client: text, token: '' } as const;
    expect(() => encodeMessage({ ...hello, proto: [1, 1], nonces: [] })).toThrow(
      /message too large: header is \d+, at most 16777216; send fewer sequences \[BAD_PARAMS\]/,
    );
  });
});

describe('decodeMessage', () => {
  const answer = { v: 1, t: 'res', id: 1, r: {}, tz: [['logprobs', 'f32', [2]]] };
  const floats = tensorBytes(tensorOf('f32', [1, -2]));

  it('reads a result with its tensors', () => {
    const { header, tensors } = decodeMessage([pack(answer), floats]);
    expect(header).toMatchObject({ t: 'res', id: 1 });
    expect(tensors.logprobs).toEqual({ dtype: 'f32', shape: [2], data: Float32Array.of(1, -2) });
  });

  it.each([
    ['no frames', [], /no frames/],
    ['bytes that are not msgpack', [Buffer.from([0xdf, 1])], /not msgpack/],
    ['a wrong version', [pack({ ...answer, v: 2 }), floats], /header at v: .*expected 1/],
    ['an unknown type', [pack({ ...answer, t: 'hi' })], /header at t/],
    ['an id that is no number', [pack({ ...answer, id: 'x' }), floats], /header at id/],
    ['a missing frame', [pack(answer)], /1 tensors announced, 0 frames came/],
    [
      'a frame too short',
      [pack(answer), floats.subarray(4)],
      /tensor logprobs \[2\] f32 needs 8 bytes, got 4/,
    ],
    [
      'an unknown element type',
      [pack({ ...answer, tz: [['a', 'f8', [1]]] }), floats],
      /unknown element type f8/,
    ],
    ['an unknown error code', [pack({ v: 1, t: 'err', id: 1, e: { code: 'OOPS' } })], /header at e.code/],
  ])('refuses %s with the place', (_, frames, message) => {
    expect(() => decodeMessage(frames)).toThrow(message);
    expect(() => decodeMessage(frames)).toThrow('[BAD_MESSAGE]');
  });

  it('survives 10,000 mutilated messages with nothing but BAD_MESSAGE', () => {
    const random = splitMix(1);
    const whole = pack(answer);
    for (let i = 0; i < 10_000; i++) {
      const bytes = Buffer.from(whole.subarray(0, 1 + (random() % whole.length)));
      for (let flips = random() % 4; flips >= 0; flips--) bytes[random() % bytes.length] = random() % 256;
      try {
        decodeMessage(random() % 2 ? [bytes, floats] : [bytes]);
      } catch (error) {
        expect(error).toMatchObject({ code: 'BAD_MESSAGE' });
      }
    }
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});

describe('tensors', () => {
  it('are read right from memory of any alignment', () => {
    const bytes = tensorBytes(tensorOf('f32', [3.5]));
    for (let shift = 0; shift < 4; shift++) {
      const frame = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
      expect(tensorFromBytes('f32', [1], frame).data[0]).toBe(3.5);
    }
  });

  it('pack rows of different lengths end to end, and back', () => {
    const { values, offsets } = packRows('i32', [[1, 2], [], Int32Array.of(3)]);
    expect([...values.data]).toEqual([1, 2, 3]);
    expect([...offsets.data]).toEqual([0, 2, 2, 3]);
    expect(unpackRows(values.data, offsets.data).map(row => [...row])).toEqual([[1, 2], [], [3]]);
  });
});
