/** YAML text to plain values, with the line of every key. */
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { ConfigError, type Path, type Problem } from './problems.ts';

/** A parsed file: its values and where each stands. */
export type YamlFile = { readonly value: unknown; readonly lineOf: (path: Path) => number | null };

/** Parse YAML 1.2 (so `off` is a text and 1e-4 a number). Throws `ConfigError` with every syntax error. */
export function parseYaml(text: string, source: string): YamlFile {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, version: '1.2' });
  const problems = document.errors.map((error): Problem => {
    const { line } = counter.linePos(error.pos[0]);
    return { path: [], line, found: error.message, expected: 'valid YAML', hint: yamlHint(error.code) };
  });
  if (problems.length > 0) throw new ConfigError(source, problems);
  const value: unknown = document.toJS() ?? {};
  return { value, lineOf: path => lineOf(document, path, counter) };
}

function yamlHint(code: string): string | null {
  if (code === 'DUPLICATE_KEY') return 'remove one of the two';
  return code === 'TAB_AS_INDENT' ? 'indent with spaces' : null;
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
