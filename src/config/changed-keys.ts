/** The paths (`tms.alpha`) at which two configurations differ; a list counts as one value. */
export function changedKeys(before: unknown, after: unknown, path: readonly string[] = []): string[] {
  if (!isBlock(before) || !isBlock(after))
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [path.join('.')];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap(key => changedKeys(before[key], after[key], [...path, key]));
}

function isBlock(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
