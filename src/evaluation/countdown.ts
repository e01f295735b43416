/** Countdown: does an expression use exactly the given numbers and equal the target? Exact: whole numbers of any size. Pure. */
import { closingBrace, spokenPart } from './answer-part.ts';

/** The expression of an answer and its value; null where it cannot be read, or a division does not come out even. */
export type FoundExpression = {
  readonly expression: string;
  readonly value: bigint | null;
  readonly numbers: readonly bigint[];
};

/** Is `text` an answer to the problem? */
export function reaches(text: string, numbers: readonly number[], target: number): boolean {
  const found = expressionIn(text);
  if (found === null || found.value === null || found.value !== BigInt(target)) return false;
  const sorted = (values: readonly bigint[]) => values.map(String).sort().join(' ');
  return sorted(found.numbers) === sorted(numbers.map(BigInt));
}

/** What an answer gives as its expression: in its last answer tag, else its last box, else its last line that is one. */
export function expressionIn(text: string): FoundExpression | null {
  const said = spokenPart(text);
  const tagged = [...said.matchAll(/<answer>([\s\S]*?)<\/answer>/gi)].at(-1)?.[1] ?? lastBox(said);
  if (tagged !== undefined) return read(tagged);
  const lines = said
    .split('\n')
    .map(line => read(line.replace(/^.*?(?:answer|expression|solution)(?:\s+is)?\s*:?\s*/i, '')));
  return lines.findLast(found => found?.value !== null && found !== null && found.numbers.length > 1) ?? null;
}

const box = '\\boxed{';

function lastBox(text: string): string | undefined {
  const start = text.lastIndexOf(box);
  const end = start < 0 ? null : closingBrace(text, start + box.length - 1);
  return end === null ? undefined : text.slice(start + box.length, end);
}

const rewrites: readonly (readonly [RegExp, string])[] = [
  [/\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}/g, '(($1)/($2))'],
  [/\\times|\\cdot|[×·⋅∗]/g, '*'],
  [/\\div|[÷∕]/g, '/'],
  [/[−–﹣－]/g, '-'],
  [/\\left|\\right|\\[()[\],;! ]|[$`]|\*\*/g, ''],
  [/[[{]/g, '('],
  [/[\]}]/g, ')'],
  [/(?<=[\d)]\s*)x(?=\s*[\d(])/gi, '*'],
];

/** The longest expression that any number may be. */
const mostCharacters = 1000;

function read(said: string): FoundExpression | null {
  const plain = rewrites.reduce((text, [pattern, by]) => text.replace(pattern, by), said).trim();
  const [expression = '', result, ...more] = plain.split('=').map(part => part.trim().replace(/\.$/, ''));
  const isResult = result === undefined || /^-?\d+$/.test(result);
  if (!isResult || more.length > 0 || expression.length > mostCharacters) return null;
  if (!/^[\d+\-*/()\s]*\d[\d+\-*/()\s]*$/.test(expression)) return null;
  const parser = { tokens: expression.match(/\d+|[+\-*/()]/g) ?? [], at: 0, numbers: [] as bigint[] };
  const value = sum(parser);
  if (parser.at < parser.tokens.length || value === undefined) return null;
  const isStated = result === undefined || value === null || BigInt(result) === value;
  return { expression, value: isStated ? value : null, numbers: parser.numbers };
}

/** Undefined: no expression; null: a division that does not come out even. */
type Value = bigint | null | undefined;
type Parser = { readonly tokens: readonly string[]; at: number; readonly numbers: bigint[] };

function sum(parser: Parser): Value {
  return chain(parser, product, { '+': (a, b) => a + b, '-': (a, b) => a - b });
}

function product(parser: Parser): Value {
  return chain(parser, factor, {
    '*': (a, b) => a * b,
    '/': (a, b) => (b !== 0n && a % b === 0n ? a / b : null),
  });
}

function chain(
  parser: Parser,
  part: (parser: Parser) => Value,
  operations: Readonly<Record<string, (a: bigint, b: bigint) => bigint | null>>,
): Value {
  let value = part(parser);
  for (;;) {
    const operation = operations[parser.tokens[parser.at] ?? ''];
    if (operation === undefined || value === undefined) return value;
    parser.at++;
    const next = part(parser);
    if (next === undefined) return undefined;
    value = value === null || next === null ? null : operation(value, next);
  }
}

function factor(parser: Parser): Value {
  const token = parser.tokens[parser.at++];
  if (token === '(') {
    const value = sum(parser);
    return parser.tokens[parser.at++] === ')' ? value : undefined;
  }
  if (token === undefined || !/^\d+$/.test(token)) return undefined;
  const value = BigInt(token);
  parser.numbers.push(value);
  return value;
}
