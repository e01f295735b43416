/** The 61 tokens of the lab, in the order of their ids. One character is one token. */

export const specialTokens = { pad: '<pad>', bos: '<bos>', eos: '<eos>' } as const;

export const letters = 'abcdefghijklmnopqrstuvwxyz';
const digits = '0123456789';
const signs = '+-=,:;>?#|';
/** The first character of a prompt names its task; K and Z are free. */
const capitals = 'ABCDHKMNRSXZ';

export const tokens: readonly string[] = [
  ...Object.values(specialTokens),
  ...digits,
  ...letters,
  ...signs,
  ...capitals,
];
