/** Values of Parquet columns as JSON, with every digit that the column holds. Pure. */
import type { SchemaElement } from 'hyparquet';
import { parseJson } from './json.ts';

/** A value of the bare type of its column, such as an integer for a decimal, as JSON. */
export type ToJson = (bare: unknown) => string;

/** A value that cannot be a value of a data file; the caller adds column and row. */
export class ParquetValueError extends Error {}

type Annotation = {
  readonly type: string;
  readonly scale?: number;
  readonly unit?: keyof typeof unitsInSecond;
  readonly isAdjustedToUTC?: boolean;
  readonly bitWidth?: number;
  readonly isSigned?: boolean;
};

/** How values of a column are written. */
export function jsonOfColumn(element: SchemaElement): ToJson {
  const annotation = annotationOf(element);
  const known = annotation === null ? undefined : annotated[annotation.type];
  if (annotation !== null && known !== undefined) return known(annotation);
  switch (element.type) {
    case 'FLOAT':
      return value => floatText(value as number, Math.fround);
    case 'DOUBLE':
      return value => floatText(value as number, exact => exact);
    case 'INT96':
      return value => timeText(value as bigint, nanosecond, '');
    case 'BYTE_ARRAY':
    case 'FIXED_LEN_BYTE_ARRAY':
      return value => bytesText(value as Uint8Array);
    default:
      return String; // integers and booleans
  }
}

/** Older writers name the type in `converted_type` alone; their times are in UTC. */
function annotationOf({ logical_type, converted_type, scale }: SchemaElement): Annotation | null {
  const logical = logical_type as Annotation | undefined;
  if (converted_type === 'DECIMAL') return { type: 'DECIMAL', scale: scale ?? logical?.scale ?? 0 };
  return logical?.type !== undefined && Object.hasOwn(annotated, logical.type)
    ? logical
    : olderAnnotation(converted_type ?? '');
}

function olderAnnotation(name: string): Annotation | null {
  const [, kind, unit] = /^(TIME|TIMESTAMP)_(MILLIS|MICROS)$/.exec(name) ?? [];
  if (kind !== undefined)
    return { type: kind, unit: unit as keyof typeof unitsInSecond, isAdjustedToUTC: true };
  const [, bits] = /^UINT_(\d+)$/.exec(name) ?? [];
  if (bits !== undefined) return { type: 'INTEGER', bitWidth: Number(bits), isSigned: false };
  return name === '' ? null : { type: name === 'UTF8' ? 'STRING' : name };
}

const [second, nanosecond] = [1n, 1_000_000_000n];
const unitsInSecond = { MILLIS: 1_000n, MICROS: 1_000_000n, NANOS: nanosecond } as const;

const annotated: Readonly<Record<string, (annotation: Annotation) => ToJson>> = {
  STRING: () => value => utf8Text(value as Uint8Array),
  ENUM: () => value => utf8Text(value as Uint8Array),
  JSON: () => value => jsonText(value as Uint8Array),
  UUID: () => value => JSON.stringify(uuidText(value as Uint8Array)),
  FLOAT16: () => value => floatText(halfOf(value as Uint8Array), nearestHalf),
  DECIMAL:
    ({ scale = 0 }) =>
    value =>
      decimalText(integerOf(value), scale),
  DATE: () => value => timeText(BigInt(value as number) * 86_400n, second, '').replace('T00:00:00', ''),
  TIME:
    ({ unit = 'MILLIS' }) =>
    value =>
      timeText(BigInt(value as bigint), unitsInSecond[unit], '').replace('1970-01-01T', ''),
  TIMESTAMP:
    ({ unit = 'MILLIS', isAdjustedToUTC = false }) =>
    value =>
      timeText(value as bigint, unitsInSecond[unit], isAdjustedToUTC ? 'Z' : ''),
  INTEGER:
    ({ bitWidth = 64, isSigned = true }) =>
    value =>
      String(isSigned ? value : BigInt.asUintN(bitWidth, BigInt(value as bigint))),
};

/** The shortest decimal that is this number and no other of its type, with a decimal point; what is no number is null. */
function floatText(value: number, nearest: (exact: number) => number): string {
  if (Number.isNaN(value)) return 'null';
  if (!Number.isFinite(value)) return JSON.stringify(String(value));
  let text = String(value);
  for (let digits = 1; digits < 17 && nearest(Number(text)) === value; digits++) {
    const shorter = String(Number(value.toPrecision(digits)));
    if (nearest(Number(shorter)) !== value) continue;
    text = shorter;
    break;
  }
  if (Object.is(value, -0)) text = '-0';
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function halfOf([low = 0, high = 0]: Uint8Array): number {
  const [sign, exponent, fraction] = [high >> 7 ? -1 : 1, (high >> 2) & 0x1f, ((high & 3) << 8) | low];
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Of all numbers with 11 binary digits the one next to this. */
function nearestHalf(exact: number): number {
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(exact))), -14) - 10);
  return exact === 0 ? 0 : Math.round(exact / step) * step;
}

/** Bytes of a decimal are a big-endian integer in two's complement. */
function integerOf(value: unknown): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value as number);
  return value.length === 0
    ? 0n
    : BigInt.asIntN(8 * value.length, BigInt(`0x${Buffer.from(value).toString('hex')}`));
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  const sign = unscaled < 0n ? '-' : '';
  const [whole, rest] = [digits.slice(0, digits.length - scale), digits.slice(digits.length - scale)];
  return `${sign}${whole}${rest === '' ? '' : `.${rest}`}`;
}

/** ISO 8601, with a fraction of a second only where there is one. */
function timeText(units: bigint, inSecond: bigint, zone: string): string {
  const rest = ((units % inSecond) + inSecond) % inSecond;
  const seconds = (units - rest) / inSecond;
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) throw new ParquetValueError(`a time out of range (${units})`);
  const places = String(inSecond).length - 1;
  const fraction = rest === 0n ? '' : `.${String(rest).padStart(places, '0')}`;
  return JSON.stringify(`${date.toISOString().slice(0, -5)}${fraction}${zone}`);
}

function uuidText(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of bytes, or null where they are none. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** Columns of texts come decoded, as far as they can be. */
function utf8Text(value: Uint8Array | string): string {
  const text = typeof value === 'string' ? value : decodeUtf8(value);
  if (text === null) throw new ParquetValueError('bytes that are not UTF-8');
  return JSON.stringify(text);
}

/** As a text where it is one; else as a block, which nobody takes for a text. */
function bytesText(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  return JSON.stringify(text ?? { base64: Buffer.from(bytes).toString('base64') });
}

/** JSON that stands in a column becomes part of the line. */
function jsonText(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text === null) throw new ParquetValueError('bytes that are not UTF-8');
  try {
    parseJson(text);
  } catch (error) {
    throw new ParquetValueError((error as Error).message);
  }
  return text.replaceAll(/[\r\n]/g, ' ');
}
