/**
 * A method of the user's own: `method: ./mine.ts`. The file is imported before the configuration is checked, since it brings its own block
 * of keys. Its default export is what `defineMethod` gives.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TmsError, UsageError } from '../errors.ts';
import { digestOfCode } from '../files/code-files.ts';
import { isSystemError } from '../files/system-error.ts';
import { readUserText } from '../files/user-file.ts';
import { addMethod, knownMethods } from '../methods/index.ts';
import type { Method } from '../methods/method.ts';
import { parseConfig } from './load.ts';
import { applyOverrides, parseOverride } from './overrides.ts';
import { valueAt } from './problems.ts';
import type { RunConfig } from './schema.ts';
import { parseYaml } from './yaml-file.ts';

/** A path of a file that can hold a method. */
export const methodFile = /\.(ts|mts|js|mjs)$/;

const example =
  "export default { name: 'mine', title: '…', plan(context) { … }, async run({ trainer }) { … } } (docs/api/define-method.md)";

/**
 * Read and check a configuration file, whoever wrote its method; with the text of the file, which is read once: it may be a pipe. Throws
 * `UsageError` when it or the method cannot be read, `ConfigError` when it is wrong.
 */
export async function loadRun(
  file: string,
  sets: readonly string[] = [],
): Promise<{ readonly config: RunConfig; readonly input: string }> {
  const input = readUserText(file, 'the configuration');
  await importMethod(methodIn(input, file, sets));
  return { config: parseConfig(input, file, sets), input };
}

/** What a configuration has as its method, right or wrong. */
export function methodIn(text: string, source: string, sets: readonly string[] = []): unknown {
  return valueAt(applyOverrides(parseYaml(text, source).value, sets.map(parseOverride)), ['method']);
}

/** Import the method where it is a path. Any other value is for the check of the configuration to judge. */
export async function importMethod(method: unknown): Promise<void> {
  if (typeof method !== 'string' || !(methodFile.test(method) || method.includes('/'))) return;
  const file = resolve(method);
  if (!existsSync(file))
    throw new UsageError(`the method ${method} is not there: there is no file ${file}`, {
      fix: 'check the path; it is taken from the current directory',
    });
  if (!methodFile.test(method))
    throw new UsageError(`the method ${method} is a file of another kind`, {
      fix: 'name a file that ends in .ts, .mts, .js or .mjs',
    });
  const code = digestOfCode([file], []);
  if (knownMethods().some(known => known.key === method && known.code === code)) return;
  const found = checked(method, (await imported(method, file, code)).default);
  refuseTaken(method, found, file);
  addMethod({ key: method, method: guarded(method, found), code });
}

/** Each reading of a file has an address of its own: an edited file is another module. */
async function imported(method: string, file: string, code: string): Promise<{ default?: unknown }> {
  const address = `${pathToFileURL(file).href}?${code}`;
  try {
    if (/js$/.test(file)) return await import(/* @vite-ignore */ address);
    const { register } = await import('tsx/esm/api');
    // Of that namespace alone, so nothing else of the process is read so; it stays for what the method imports while it runs.
    return await register({ namespace: `tms-method-${code}`, tsconfig: false }).import(
      address,
      import.meta.url,
    );
  } catch (cause) {
    throw new UsageError(`the method ${method} cannot be imported: ${(cause as Error).message}`, {
      fix: `mend the file, or what it imports; --verbose shows where it failed`,
      cause,
    });
  }
}

function checked(path: string, found: unknown): Method {
  if (typeof found !== 'object' || found === null)
    throw new UsageError(`the method ${path} has no default export that is a method`, {
      fix: `write: ${example}`,
    });
  const { name, title, plan, run, settings } = found as Partial<Method>;
  const kinds = { name: [name, 'string'], title: [title, 'string'], plan: [plan, 'function'] } as const;
  for (const [key, [value, kind]] of Object.entries({ ...kinds, run: [run, 'function'] as const }))
    if (typeof value !== kind)
      throw new UsageError(`the method ${path} has no ${key}, or one that is no ${kind}`, {
        fix: `write: ${example}`,
      });
  if (!/^[a-z][a-z0-9-]*$/.test(name as string))
    throw new UsageError(`the method ${path} is named ${JSON.stringify(name)}`, {
      fix: 'name it with small letters, digits and -, such as my-method',
    });
  if (settings !== undefined) refuseSettings(path, settings);
  return found as Method;
}

/** A block is left out by who wants the defaults, and a misspelt key of it must be found. */
function refuseSettings(path: string, settings: unknown): void {
  const schema = settings as Partial<NonNullable<Method['settings']>>;
  const fix =
    "write: settings: z.strictObject({ key: z.number().default(1) }).prefault({}), with z from 'tms'";
  if (typeof schema.safeParse !== 'function')
    throw new UsageError(`the settings of the method ${path} are no zod schema`, { fix });
  if (!schema.safeParse(undefined).success)
    throw new UsageError(`the settings of the method ${path} cannot be left out`, { fix });
  if (schema.safeParse({ 'no key': 0 }).success)
    throw new UsageError(`the settings of the method ${path} take keys that they do not know`, { fix });
}

function refuseTaken(path: string, { name }: Method, file: string): void {
  const other = knownMethods().find(known => resolve(known.key) !== file && known.method.name === name);
  if (other === undefined) return;
  const whose = other.code === null ? 'a method that comes with tms' : `the method ${other.key}`;
  throw new UsageError(`the method ${path} is named ${name}, as ${whose}`, { fix: 'give it another name' });
}

/** What fails in the user's code is no bug of tms: the message names the file. */
function guarded(path: string, method: Method): Method {
  const failure = (what: string, cause: unknown) =>
    cause instanceof TmsError || isSystemError(cause)
      ? cause
      : new TmsError(`the method ${path} failed in ${what}: ${(cause as Error)?.message ?? cause}`, {
          fix: 'mend the file; --verbose shows where it failed',
          cause,
        });
  const guard = <T>(what: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw failure(what, cause);
    }
  };
  const { name, title, settings } = method;
  return {
    name,
    title,
    ...(settings && { settings }),
    check: (given, config) => guard('check', () => method.check?.(given, config) ?? []),
    plan: context => guard('plan', () => method.plan(context)),
    async run(context) {
      try {
        await method.run(context);
      } catch (cause) {
        throw failure('run', cause);
      }
    },
  };
}
