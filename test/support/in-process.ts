/** The program inside the test's own process: quicker than to start it. */
import { makeProgram } from '../../src/cli/program.ts';
import { processTerminal } from '../../src/cli/terminal.ts';

/** What a command prints, and what it throws. */
export async function called(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ printed: string; error: unknown }> {
  const printed: string[] = [];
  const terminal = {
    ...processTerminal({}),
    print: (line: string) => void printed.push(line),
    note: () => {},
  };
  const program = makeProgram({ terminal, env, version: '0', exitCode: 0, goOn: null });
  const error = await program.parseAsync([...args], { from: 'user' }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return { printed: printed.join('\n'), error };
}
