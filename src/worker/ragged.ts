/** Sequences of different lengths as two flat tensors: values end to end, and offsets where each starts. */
import { allocate, type DType, type Tensor, type TensorData, tensorOf } from './tensor.ts';

export type Row = readonly number[] | TensorData;

/** Values [N] and offsets [n + 1] of n rows. */
export function packRows(dtype: DType, rows: readonly Row[]): { values: Tensor; offsets: Tensor } {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, i) => {
    offsets[i + 1] = (offsets[i] ?? 0) + row.length;
  });
  const data = allocate(dtype, offsets[rows.length] ?? 0);
  rows.forEach((row, i) => {
    data.set(row as ArrayLike<number>, offsets[i] ?? 0);
  });
  return { values: tensorOf(dtype, data), offsets: tensorOf('i32', offsets) };
}

/** The n rows of values [N], as views. */
export function unpackRows<T extends TensorData>(values: T, offsets: TensorData): T[] {
  return Array.from(
    { length: offsets.length - 1 },
    (_, i) => values.subarray(offsets[i], offsets[i + 1]) as T,
  );
}
