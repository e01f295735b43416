import { z } from 'zod';
import { lastLines, runCommand } from './command.ts';
import { developmentTools, minimumVersions } from './requirements.ts';

/** What a Python interpreter says about itself. */
export interface Interpreter {
  /** As it was asked for: for an environment the link in its own bin/, never the interpreter behind it. */
  readonly path: string;
  /** What it calls itself: differs from `path` where that is a shim, as of pyenv. */
  readonly executable: string;
  readonly version: string;
  /** Installed version by name, of the packages in requirements.ts only. */
  readonly packages: Readonly<Record<string, string>>;
}

/** An interpreter, or why the program at `path` is none. */
export type ProbeResult =
  | { readonly ok: true; readonly interpreter: Interpreter }
  | { readonly ok: false; readonly reason: string };

const packageNames = [...Object.keys(minimumVersions), ...Object.keys(developmentTools)];

/** Runs on any Python, 2.7 included: the old ones must be able to say that they are old. Nothing heavy is imported. */
const probeSource = `
import json, sys
facts = {"version": "%d.%d.%d" % sys.version_info[:3], "executable": sys.executable, "packages": {}}
try:
    from importlib import metadata
    for name in sys.argv[1:]:
        try:
            facts["packages"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
except ImportError:
    pass
print(json.dumps(facts))
`;

const factsSchema = z.object({
  executable: z.string(),
  version: z.string(),
  packages: z.record(z.string(), z.string()),
});

/** Start the program once and ask for its version and packages (about 0.1 s). */
export async function probeInterpreter(path: string, env: NodeJS.ProcessEnv): Promise<ProbeResult> {
  const result = await runCommand(path, ['-c', probeSource, ...packageNames], { env, timeoutSeconds: 30 });
  if (result.startError !== null) return { ok: false, reason: `cannot be started (${result.startError})` };
  if (result.code !== 0) {
    return {
      ok: false,
      reason: `does not run: ${lastLines(result.stderr, 1) || `exit code ${result.code}`}`,
    };
  }
  return readFacts(path, result.stdout);
}

function readFacts(path: string, text: string): ProbeResult {
  try {
    return { ok: true, interpreter: { path, ...factsSchema.parse(JSON.parse(text)) } };
  } catch {
    return { ok: false, reason: `is not Python: it printed ${JSON.stringify(text.slice(0, 60))}` };
  }
}
