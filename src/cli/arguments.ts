/** Values of options from their text; commander names the option when one throws. */
import { InvalidArgumentError } from 'commander';

/** For an option that can be repeated. */
export function collect(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}

/** For texts that can be repeated: `\\n` and `\\t` in them stand for a line break and a tab. */
export function textsWithEscapes(value: string, values: readonly string[] = []): string[] {
  if (value === '') throw new InvalidArgumentError('It is empty.');
  return collect(value.replaceAll('\\n', '\n').replaceAll('\\t', '\t'), values);
}

export function integerFrom(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return text => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

/** `above`, itself excluded, or `from`; up to `to`. */
export function numberWithin(range: {
  from?: number;
  above?: number;
  to?: number;
}): (text: string) => number {
  const { from = -Infinity, above = -Infinity, to = Infinity } = range;
  const words = [
    ...(range.from === undefined ? [] : [`${from} or more`]),
    ...(range.above === undefined ? [] : [`above ${above}`]),
    ...(range.to === undefined ? [] : [`at most ${to}`]),
  ];
  return text => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= from && value > above && value <= to && Number.isFinite(value)) return value;
    throw new InvalidArgumentError(`It must be a number, ${words.join(' and ')}.`);
  };
}

const secondsOf: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400, w: 7 * 86_400 };

/** `30d` in seconds. */
export function duration(text: string): number {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)([mhdw])$/.exec(text) ?? [];
  const seconds = secondsOf[unit];
  if (seconds !== undefined) return Number(amount) * seconds;
  throw new InvalidArgumentError('It must be a time such as 90m, 12h, 30d or 4w.');
}

const bytesOf: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** `20G` in bytes; units are decimal, as in what tms prints. */
export function byteCount(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)b?$/i.exec(text) ?? [];
  const bytes = unit === undefined ? undefined : bytesOf[unit.toUpperCase()];
  if (bytes !== undefined) return Number(amount) * bytes;
  throw new InvalidArgumentError('It must be a size such as 500M or 20G.');
}

/** A text as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w./~=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
