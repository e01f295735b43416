import type { Command } from 'commander';
import { exitCodes } from '../errors.ts';
import type { CliContext } from './context.ts';
import { examine } from './doctor-facts.ts';
import { doctorText } from './doctor-text.ts';

interface DoctorFlags {
  python?: string;
  json?: boolean;
}

/** `tms doctor`: say what is there, what is missing, and the command that puts it right. */
export function addDoctorCommand(program: Command, context: CliContext): void {
  program
    .command('doctor')
    .summary('say what is there, what is missing, and the command that fixes it')
    .description(
      'Show versions, device, memory, disk and the settings that make results repeat; name what is missing and the ' +
        'command that fixes it. Changes nothing. Takes some seconds, since it imports the Python packages to try them.',
    )
    .option('--python <path>', 'look at this Python instead of the one that tms would take')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', examples)
    .action(async (flags: DoctorFlags) => {
      context.exitCode = await examineAndPrint(flags, context);
    });
}

const examples = `
Exits with 0 when tms can run, with 1 when something that it needs is missing.

Examples:
  $ npx tms doctor
  $ npx tms doctor --json | jq .problems`;

async function examineAndPrint(flags: DoctorFlags, { terminal, env, version }: CliContext): Promise<number> {
  if (terminal.isInteractive) terminal.note('asking Python for torch, transformers and peft …');
  const facts = await examine({ python: flags.python, env, version });
  if (flags.json) terminal.print(JSON.stringify(facts, null, 2));
  else for (const line of doctorText(facts, terminal)) terminal.print(line);
  return facts.ok ? exitCodes.ok : exitCodes.failed;
}
