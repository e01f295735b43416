import { styleText } from 'node:util';

/** Where a command prints. Results go to stdout; progress, warnings and errors to stderr. */
export interface Terminal {
  print(line: string): void;
  note(line: string): void;
  /** Whether a person watches: colours, progress bars. */
  readonly isInteractive: boolean;
  readonly columns: number;
  paint(color: 'bold' | 'dim' | 'red' | 'green' | 'yellow', text: string): string;
}

const columnsWithoutTerminal = 100;

/** The terminal of this process; plain text where it is none, or where NO_COLOR is set. */
export function processTerminal(env: NodeJS.ProcessEnv): Terminal {
  const hasColor = process.stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return {
    print: line => process.stdout.write(`${line}\n`),
    note: line => process.stderr.write(`${line}\n`),
    isInteractive: process.stderr.isTTY === true,
    columns: process.stdout.columns || columnsWithoutTerminal,
    paint: (color, text) => (hasColor ? styleText(color, text) : text),
  };
}

/** Break `text` at spaces into lines of at most `width` characters; a longer word keeps a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
