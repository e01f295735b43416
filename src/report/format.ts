/** Numbers as people read them: fixed digits, a true minus sign, a dash for what was not measured. */
import type { Interval } from '../metrics/statistics.ts';
import { baseName, type Training } from '../run/trainings.ts';

/** For what was not measured. */
export const dash = '–';

/** Fixed digits after the point. */
export function fixed(value: number | null, digits = 3): string {
  if (value === null) return dash;
  return signless(value, digits) ? (0).toFixed(digits) : value.toFixed(digits).replace('-', '−');
}

/** The same with a sign also in front of what is positive. */
export function signed(value: number | null, digits = 3): string {
  return value === null || value < 0 || signless(value, digits)
    ? fixed(value, digits)
    : `+${fixed(value, digits)}`;
}

/** `[−0.12, −0.05]` */
function interval({ low, high }: Interval, format: (value: number) => string): string {
  return `[${format(low)}, ${format(high)}]`;
}

/** A number and the ends of its interval: `0.660 [0.52, 0.78]`. */
export function withInterval(
  value: number,
  ends: Interval,
  format: (value: number) => string = fixed,
  formatEnd = format,
): string {
  return `${format(value)} ${interval(ends, formatEnd)}`;
}

/** Three digits and a unit: 812, 52.4k, 1.31M. */
export function amount(value: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (value >= size * 0.9995) return `${threeDigits(value / size)}${unit}`;
  }
  return threeDigits(value).replace(/\.0+$/, '');
}

/** 0.42 s, 38 s, 12 min 5 s, 3 h 20 min. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** The same in at most six letters: 42s, 12m05s, 3h20m. */
export function shortDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 120) return seconds < 9.95 ? `${seconds.toFixed(1)}s` : `${whole}s`;
  const twoDigits = (value: number) => String(Math.floor(value)).padStart(2, '0');
  if (whole < 7200) return `${Math.floor(whole / 60)}m${twoDigits(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${twoDigits((whole % 3600) / 60)}m`;
}

/** A share as a percentage without digits after the point, but never 0 % of something. */
export function percent(share: number): string {
  return share > 0 && share < 0.005 ? '< 1 %' : `${Math.round(share * 100)} %`;
}

/** A setting's value on one line. */
export function settingText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? dash);
}

/** `1 item`, `2 items`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** `SFT @91`: a checkpoint; `base` where it is the model before any training. */
export function checkpointLabel(
  { training, checkpointStep }: { readonly training: string; readonly checkpointStep: number },
  trainings: readonly Training[],
): string {
  const found = trainings.find(({ name }) => name === training);
  const isBase = training === baseName || (checkpointStep === 0 && found?.startsFrom === baseName);
  return isBase ? baseName : `${found?.label ?? training} @${checkpointStep}`;
}

function signless(value: number, digits: number): boolean {
  return Number(value.toFixed(digits)) === 0;
}

function threeDigits(value: number): string {
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return value.toFixed(digits);
}
