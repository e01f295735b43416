/** A side process that is started when it is first asked, for those who may never ask. */
import { resolve } from 'node:path';
import { ensurePython, type SetupOptions } from './make-environment.ts';
import { projectRoot } from './paths.ts';
import { openSide, PythonGone, type Side } from './side.ts';

/** Close it in `finally`; may be closed again. */
export type LazySide = Pick<Side, 'call' | 'close'>;

/** Settings of `lazySide`. */
export type LazySideOptions = Pick<SetupOptions, 'env' | 'report'> & {
  /** As for `tms run --python`; null: the one that `tms doctor` finds. */
  readonly python?: string | null | undefined;
  /** When it is aborted, calls under way reject and none is begun any more. */
  readonly signal?: AbortSignal | undefined;
};

/** The functions of a file of py_worker, or of any by its whole path. */
export function lazySide(file: string, { python, signal, ...options }: LazySideOptions = {}): LazySide {
  let side: Promise<Side> | null = null;
  let isClosed = false;
  const open = async () => {
    const found = await ensurePython({ ...options, python: python ?? undefined });
    return openSide({ python: found.path, shim: resolve(projectRoot(), 'py_worker', file) });
  };
  const close = async () => {
    isClosed = true;
    signal?.removeEventListener('abort', onAbort);
    const opened = await side?.catch(() => null);
    await opened?.close();
  };
  const onAbort = () => void close();
  signal?.addEventListener('abort', onAbort);
  return {
    call: async (name, args, result) => {
      signal?.throwIfAborted();
      if (isClosed) throw new PythonGone(`the side process of ${file} was closed`);
      side ??= open();
      return (await side).call(name, args, result);
    },
    close,
  };
}
