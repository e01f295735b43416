/** What every benchmark prints: where it ran, how busy the machine was, and a table. */
import { cpus, loadavg } from 'node:os';

/** One line to stand above a table: numbers mean little without it. */
export function conditions(device = 'cpu'): string {
  const [processor] = cpus();
  const load = loadavg()
    .map(value => value.toFixed(1))
    .join(' ');
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ');
  return `${date} UTC, ${cpus().length} × ${processor?.model ?? 'unknown processor'}, device ${device}, load ${load}`;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Median of the ratios of values measured one after the other: a busy moment weighs on both sides. */
export function medianRatio(values: readonly number[], bases: readonly number[]): number {
  return median(values.map((value, i) => value / (bases[i] ?? Number.NaN)));
}

/** A Markdown table, ready for bench/README.md. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n');
}
