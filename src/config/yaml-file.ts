/** YAML text to plain values, with the line of every key. */
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';
import { ConfigError, type Path, type Problem } from './problems.ts';

/** A parsed file: its values and where each stands. */
export type YamlFile = { readonly value: unknown; readonly lineOf: (path: Path) => number | null };

/**
 * Keys are compared by us, since the parser's own way takes time with the square of their number; tags that make anything but texts,
 * numbers, lists and blocks are refused.
 */
const options = {
  prettyErrors: false,
  version: '1.2',
  uniqueKeys: false,
  resolveKnownTags: false,
} as const;

/** Parse YAML 1.2 (so `off` is a text and 1e-4 a number). Throws `ConfigError` with every fault of syntax. */
export function parseYaml(text: string, source: string): YamlFile {
  const counter = new LineCounter();
  const document = readable(source, () => parseDocument(text, { ...options, lineCounter: counter }));
  const lineAt = (offset: number) => counter.linePos(offset).line;
  const faults = [...document.errors, ...document.warnings].map(({ pos, message, code }): Problem => {
    const found = message.includes('call stack') ? tooDeep : message;
    const hint = code === 'TAB_AS_INDENT' ? 'indent with spaces' : null;
    return { path: [], line: lineAt(pos[0]), found, expected: 'valid YAML', hint };
  });
  const repeated = readable(source, () => repeatedKeys(document, lineAt));
  const problems = [...repeated, ...faults].toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  if (problems.length > 0) throw new ConfigError(source, problems.slice(0, mostFaults));
  const value: unknown = readable(source, () => document.toJS()) ?? {};
  return { value, lineOf: path => lineOf(document, path, counter) };
}

function repeatedKeys(document: Document.Parsed, lineAt: (offset: number) => number): Problem[] {
  const problems: Problem[] = [];
  visit(document, {
    Map: (_, map) => {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const name = isScalar(key) ? String(key.value) : key;
        const line = isNode(key) && key.range ? lineAt(key.range[0]) : null;
        if (seen.has(name))
          problems.push({
            ...{ path: [], line, found: `${name} for the second time`, expected: 'each key once' },
            hint: 'remove one of the two',
          });
        seen.add(name);
      }
    },
  });
  return problems;
}

/** One fault of syntax makes many behind it. */
const mostFaults = 20;
const tooDeep = 'blocks that are nested too deeply';
const givenUp = [
  [RangeError, tooDeep],
  [ReferenceError, 'aliases that multiply, or stand for nothing'],
] as const;

/** What the parser gives up on: blocks nested beyond its stack, and aliases that multiply beyond its memory. */
function readable<T>(source: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const found = givenUp.find(([kind]) => error instanceof kind)?.[1];
    if (found === undefined) throw error;
    const problem = { path: [], line: null, found, expected: 'a configuration', hint: null };
    throw new ConfigError(source, [problem]);
  }
}

/** The line of a key or list entry; of the block around it where it is missing; null where that is missing too. */
function lineOf(document: Document.Parsed, path: Path, counter: LineCounter): number | null {
  if (path.length === 0) return null;
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const node = isMap(parent) ? keyNode(parent, path.at(-1)) : document.getIn(path, true);
  return lineOfNode(node, counter) ?? lineOf(document, path.slice(0, -1), counter);
}

function keyNode(map: YAMLMap, key: unknown): unknown {
  return map.items.find(({ key: node }) => isScalar(node) && node.value === key)?.key;
}

function lineOfNode(node: unknown, counter: LineCounter): number | null {
  return isNode(node) && node.range ? counter.linePos(node.range[0]).line : null;
}
