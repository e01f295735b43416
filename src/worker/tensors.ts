/** Numeric arrays as they cross the wire: element type, shape and little-endian, C-contiguous bytes. */
const arrayTypes = {
  f64: Float64Array,
  f32: Float32Array,
  i32: Int32Array,
  u32: Uint32Array,
  u8: Uint8Array,
} as const;

export type DType = keyof typeof arrayTypes;
export type TensorData = Float64Array | Float32Array | Int32Array | Uint32Array | Uint8Array;

/** `data.length` is the product of `shape`. The array must not be touched while a request that carries it is in flight. */
export type Tensor = { readonly dtype: DType; readonly shape: readonly number[]; readonly data: TensorData };
export type Tensors = Readonly<Record<string, Tensor>>;

/** A one-dimensional tensor over `data`; plain lists are copied, typed arrays of the right type are not. */
export function tensorOf(dtype: DType, data: TensorData | readonly number[]): Tensor {
  const array = data instanceof arrayTypes[dtype] ? data : arrayTypes[dtype].from(data as ArrayLike<number>);
  return { dtype, shape: [array.length], data: array };
}

/** Zeros, to be filled in. */
export function allocate(dtype: DType, length: number): TensorData {
  return new arrayTypes[dtype](length);
}

export function isDType(name: string): name is DType {
  return Object.hasOwn(arrayTypes, name);
}

export function bytesPerElement(dtype: DType): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT;
}

/** The bytes of a tensor, without a copy. */
export function tensorBytes({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** View `frame` as a tensor; copies only where its memory is not aligned to the element size. */
export function tensorFromBytes(dtype: DType, shape: readonly number[], frame: Buffer): Tensor {
  const Type = arrayTypes[dtype];
  const aligned =
    frame.byteOffset % Type.BYTES_PER_ELEMENT === 0 ? frame : Buffer.from(new Uint8Array(frame).buffer);
  const length = aligned.byteLength / Type.BYTES_PER_ELEMENT;
  return { dtype, shape, data: new Type(aligned.buffer as ArrayBuffer, aligned.byteOffset, length) };
}

// Sequences of different lengths as two flat tensors: values end to end, and offsets where each starts.

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
