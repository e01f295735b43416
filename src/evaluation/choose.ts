/** Something with an id that is a hash of its content, as hexadecimal text. */
export type Identified = { readonly id: string };

/** The `count` values with the smallest ids, in the order given: more are a superset of fewer. All where `count` is null. */
export function chooseByHash<T extends Identified>(values: readonly T[], count: number | null): T[] {
  const byId = (a: { value: T }, b: { value: T }) =>
    a.value.id < b.value.id ? -1 : Number(a.value.id > b.value.id);
  return values
    .map((value, place) => ({ value, place }))
    .sort(byId)
    .slice(0, count ?? values.length)
    .sort((a, b) => a.place - b.place)
    .map(({ value }) => value);
}
