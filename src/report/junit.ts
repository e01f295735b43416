/** JUnit's XML, which continuous integration reads. Pure. */

/** `type`: what failed, for a machine; `text`: what was found. */
export type JunitCase = {
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly type: string;
  readonly text: string;
};

/** One suite. `name` is also the class of its cases, by which readers group them. */
export function junitXml(name: string, cases: readonly JunitCase[]): string {
  const count = (state: JunitCase['state']) => cases.filter(one => one.state === state).length;
  const counts = `tests="${cases.length}" failures="${count('failed')}" errors="0" skipped="${count('skipped')}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${counts}>`,
    `  <testsuite name="${escaped(name)}" ${counts}>`,
    ...cases.map(one => `    ${caseXml(name, one)}`),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function caseXml(suite: string, { name, state, type, text }: JunitCase): string {
  const inner = {
    passed: `<system-out>${escaped(text)}</system-out>`,
    failed: `<failure type="${escaped(type)}" message="${escaped(text)}"/>`,
    skipped: `<skipped message="${escaped(text)}"/>`,
  }[state];
  return `<testcase classname="${escaped(suite)}" name="${escaped(name)}">${inner}</testcase>`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** XML 1.0 has no way to write most control characters. */
function escaped(text: string): string {
  return text
    .replace(/[&<>"]/g, letter => entities[letter] ?? letter)
    .replace(/\p{Cc}|\p{Cs}|[\ufffe\uffff]/gu, ' ');
}
