/** What `work` brings, unless the person asks to stop first: then the signal's reason is thrown at once, and `discard` gets what comes late. */
export async function untilStopped<T>(
  signal: AbortSignal,
  work: Promise<T>,
  discard: (late: T) => unknown = () => {},
): Promise<T> {
  let onAbort = () => {};
  const stopped = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([stopped, work]);
  } catch (error) {
    if (signal.aborted) void work.then(discard).catch(() => undefined); // nobody waits for it any more
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
