/** A text file that is written line by line and appears under its name when it is whole. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { nameFile } from './system-error.ts';
import { temporaryName } from './temporary-name.ts';

const linesAtOnce = 10_000;

/** `finish` or `abort` it. */
export class LineWriter {
  readonly #path: string;
  readonly #part: string;
  readonly #handle: number;
  #lines: string[] = [];

  constructor(path: string) {
    this.#path = path;
    this.#part = temporaryName(path);
    mkdirSync(dirname(path), { recursive: true });
    this.#handle = openSync(this.#part, 'w');
  }

  /** With its newline. */
  add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= linesAtOnce) this.#flush();
  }

  finish(): void {
    this.#flush();
    fsyncSync(this.#handle);
    closeSync(this.#handle);
    renameSync(this.#part, this.#path);
  }

  abort(): void {
    closeSync(this.#handle);
    rmSync(this.#part, { force: true });
  }

  #flush(): void {
    try {
      const bytes = Buffer.from(this.#lines.join(''));
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#handle, bytes, done);
    } catch (error) {
      throw nameFile(error, this.#path);
    }
    this.#lines = [];
  }
}
