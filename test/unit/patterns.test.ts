import { expect, it } from 'vitest';

it('a pattern inside toMatchObject is matched against the text in its place', async () => {
  const error = Object.assign(new Error('disk full'), { fix: 'free space' });
  expect(error).toMatchObject({ message: /full$/, fix: /space/ });
  expect(() => expect(error).toMatchObject({ message: /empty/ })).toThrow('to match object');
  expect(() => expect({ deep: { error: null } }).toMatchObject({ deep: { error: /full/ } })).toThrow();
  const rejects = expect(Promise.reject(error)).rejects.toMatchObject({ fix: /empty/ });
  await expect(rejects).rejects.toThrow('to match object');
});
