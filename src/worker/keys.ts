/** Key pairs of the two ends of a connection over the network (CurveZMQ). Hex for people, shells and YAML; ZeroMQ's own spelling is none for them. */
import { existsSync, linkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { curveKeyPair } from 'zeromq';
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { makePrivate } from '../files/atomic.ts';
import { readRecord } from '../files/read-record.ts';
import { temporaryName } from '../files/temporary-name.ts';

/** Both in hex, 64 digits. The secret never leaves its machine. */
export type KeyPair = { readonly publicKey: string; readonly secretKey: string };

const digits = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';
const keyPattern = /^[0-9a-f]{64}$/;

/** Whether a text is a key. */
export function isKey(text: string): boolean {
  return keyPattern.test(text);
}

/** Where the pair is by which runs of a user are known to workers elsewhere; `home` is TMS_HOME. */
export function clientKeyFile(home: string): string {
  return join(home, 'keys', 'client.json');
}

/** A pair that lives as long as this process. */
export function newKeyPair(): KeyPair {
  const { publicKey, secretKey } = curveKeyPair();
  return { publicKey: fromZ85(publicKey), secretKey: fromZ85(secretKey) };
}

/** The pair in a file that only its user can read; made where there is none. Throws `UsageError` for a file that is none, or open to others. */
export function keptKeyPair(path: string): KeyPair {
  if (!existsSync(path)) keepNewPair(path);
  const { value, damage } = readRecord(path, pairSchema);
  if (value === null)
    throw new UsageError(`${path} holds no key pair of tms: ${damage}`, {
      fix: 'move it away, and a new one is made; whoever knew the old public key must be told the new one',
    });
  if ((statSync(path).mode & 0o077) !== 0)
    throw new UsageError(`${path} holds a secret key, and others can read it`, { fix: `chmod 600 ${path}` });
  return value;
}

const pairSchema = z.strictObject({
  publicKey: z.string().regex(keyPattern),
  secretKey: z.string().regex(keyPattern),
});

/** Whole or not at all; where two make one, the first stays. */
function keepNewPair(path: string): void {
  const part = temporaryName(path);
  makePrivate(dirname(path));
  writeFileSync(part, `${JSON.stringify(newKeyPair(), null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(part, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(part);
  }
}

/** ZeroMQ's spelling of a key: 5 digits of base 85 for each 4 bytes (ZeroMQ RFC 32). */
export function toZ85(key: string): string {
  const bytes = Buffer.from(key, 'hex');
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) {
    const value = bytes.readUInt32BE(at);
    for (let power = 85 ** 4; power >= 1; power /= 85) text += digits[Math.floor(value / power) % 85];
  }
  return text;
}

/** The way back. */
export function fromZ85(text: string): string {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let at = 0; at < text.length; at += 5) {
    const value = [...text.slice(at, at + 5)].reduce((sum, digit) => sum * 85 + digits.indexOf(digit), 0);
    bytes.writeUInt32BE(value, (at / 5) * 4);
  }
  return bytes.toString('hex');
}
