/** Progress of a run: one live line where a person watches, a plain line now and then where nobody does. */
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { exitCodes } from '../errors.ts';
import type { Progress } from '../training/run.ts';

/** Where a command prints. Results go to stdout; progress, warnings and errors to stderr. Control characters in a line are shown, not sent. */
export interface Terminal {
  print(line: string): void;
  note(line: string): void;
  /** Draw a line over the last one on stderr; an empty one takes it away. */
  redraw(line: string): void;
  /** What follows does not depend on its readers: without them it goes on in silence, where a command would end. */
  goOnUnread(): void;
  /** Whether a person watches: colours, progress bars. */
  readonly isInteractive: boolean;
  readonly columns: number;
  paint(color: Color, text: string): string;
}

type Color = 'bold' | 'dim' | 'red' | 'green' | 'yellow';

const columnsWithoutTerminal = 100;

/** The terminal of this process; plain text where it is none, or where NO_COLOR is set. */
export function processTerminal(env: NodeJS.ProcessEnv): Terminal {
  const hasColor = process.stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  let isRead = true;
  let goesOn = false;
  const write = (stream: NodeJS.WriteStream, text: string) => {
    if (isRead || stream !== process.stdout) stream.write(text);
  };
  // `tms … | head` closes our stdout, a closed terminal both: no error, only the end.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    isRead = false;
    if (goesOn) return;
    const isEnd = error.code === 'EPIPE' || error.code === 'EIO';
    if (!isEnd) process.stderr.write(`error: the output could not be written: ${error.message}\n`);
    process.exit(isEnd ? exitCodes.ok : exitCodes.failed);
  });
  process.stderr.on('error', () => {});
  return {
    print: line => write(process.stdout, `${shown(line)}\n`),
    note: line => write(process.stderr, `${shown(line)}\n`),
    redraw: line => write(process.stderr, `\r\u001b[K${shown(line)}`),
    goOnUnread: () => {
      goesOn = true;
    },
    isInteractive: process.stderr.isTTY === true,
    columns: process.stdout.columns || columnsWithoutTerminal,
    paint: (color, text) => (hasColor ? painted(color, text) : text),
  };
}

/** Stands before the colours that we mean; whatever text is printed cannot know it. */
const ours = `\u0000${randomBytes(8).toString('hex')}`;

function painted(color: Color, text: string): string {
  const [on, off] = inspect.colors[color] ?? [0, 0];
  return `${ours}${on};${text}${ours}${off};`;
}

/** Text of files, models and errors may hold escape sequences that move the cursor, recolour, or rename the window: seen, as JSON writes them. */
function shown(text: string): string {
  return text.replace(marksAndControls, (match, code?: string) =>
    code === undefined ? `\\u${match.charCodeAt(0).toString(16).padStart(4, '0')}` : `\u001b[${code}m`,
  );
}

// All of C0 but tab and newline, DEL, all of C1.
const marksAndControls = new RegExp(`${ours}(\\d+);|[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]`, 'g');

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

/** What every command gets from main.ts; `exitCode` is where a command leaves its result. */
export interface CliContext {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
  exitCode: number;
  /** The command that goes on with what an error ended; printed after it. */
  goOn: string | null;
}

const liveIntervalMs = 100;
const plainIntervalMs = 15_000;

export function terminalProgress(terminal: Terminal): Progress & { clear(): void } {
  let current = { what: '', start: 0, tokens: 0, drawn: 0 };
  let isLive = false;
  const clear = () => {
    if (isLive) terminal.redraw('');
    isLive = false;
  };
  return {
    clear,
    say(line) {
      clear();
      terminal.note(line);
    },
    update(what, done, total, tokens) {
      const now = performance.now();
      if (what !== current.what) current = { what, start: now, tokens: 0, drawn: now };
      current.tokens += tokens;
      const isDue = now - current.drawn >= (terminal.isInteractive ? liveIntervalMs : plainIntervalMs);
      if (!isDue && !(terminal.isInteractive && done >= total)) return;
      current.drawn = now;
      draw(
        progressLine({ what, done, total, tokens: current.tokens, seconds: (now - current.start) / 1000 }),
      );
    },
  };

  function draw(line: string): void {
    isLive = terminal.isInteractive;
    if (isLive) terminal.redraw(line.slice(0, terminal.columns - 1));
    else terminal.note(line);
  }
}

type State = { what: string; done: number; total: number; tokens: number; seconds: number };

/** `train sft  120/456  1,234 tokens/s  0:35 left`. */
function progressLine({ what, done, total, tokens, seconds }: State): string {
  const speed =
    tokens > 0 && seconds > 0.5 ? `  ${Math.round(tokens / seconds).toLocaleString('en')} tokens/s` : '';
  const left =
    done >= total / 20 && done < total && seconds > 1
      ? `  ${clock((seconds / done) * (total - done))} left`
      : '';
  return `${what}  ${done}/${total}${speed}${left}`;
}

function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const pad = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}
