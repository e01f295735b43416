/** What reaches a terminal: our colours, and no control character of anybody else's. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { processTerminal } from '../../src/cli/terminal.ts';

let written = '';
const isTTY = process.stdout.isTTY;
beforeEach(() => {
  written = '';
  const keep = (chunk: unknown) => {
    written += String(chunk);
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(keep);
});
afterEach(() => {
  vi.restoreAllMocks();
  process.stdout.isTTY = isTTY;
});

const hostile = 'a\u001b[31mb\u001b]0;title\u0007\u009b2J\u007f\r\b\u0000z';
const harmless = 'a\\u001b[31mb\\u001b]0;title\\u0007\\u009b2J\\u007f\\u000d\\u0008\\u0000z';

test('control characters of a text are shown as JSON writes them, in results and in notes', () => {
  const terminal = processTerminal({});
  terminal.print(hostile);
  terminal.note(hostile);
  expect(written).toBe(`${harmless}\n${harmless}\n`);
  expect(JSON.parse(`"${harmless}"`)).toBe(hostile);
});

test('tabs, line ends and letters of all scripts stay as they are', () => {
  const text = 'Größe\t漢字\n\u{1F600} \u00a0é';
  processTerminal({}).print(text);
  expect(written).toBe(`${text}\n`);
});

test('our colours are sent where a person watches; the same codes in a text are not', () => {
  process.stdout.isTTY = true;
  const terminal = processTerminal({ TERM: 'xterm' });
  terminal.print(`${terminal.paint('bold', terminal.paint('red', hostile))} \u001b[1m`);
  expect(written).toBe(`\u001b[1m\u001b[31m${harmless}\u001b[39m\u001b[22m \\u001b[1m\n`);
});

test('a text cannot pretend to be a colour of ours by repeating what it saw', () => {
  process.stdout.isTTY = true;
  const terminal = processTerminal({ TERM: 'xterm' });
  terminal.print('\u00000123456789abcdef31;x');
  expect(written).toBe('\\u00000123456789abcdef31;x\n');
});

test('a drawn line replaces the last, whatever is in it', () => {
  processTerminal({}).redraw('set \u001b[2J');
  expect(written).toBe('\r\u001b[K' + 'set \\u001b[2J');
});
