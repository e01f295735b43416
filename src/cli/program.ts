/** All commands of `tms`, and how they are read. */
import { Command } from 'commander';
import { addDataCommands } from './data.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEvalCommand } from './eval.ts';
import { addGenerateCommand } from './generate.ts';
import { addGradeCommand } from './grade.ts';
import { addMergeCommand } from './merge.ts';
import { addPushCommand } from './push.ts';
import { addReportCommands } from './report.ts';
import { addRunCommands } from './run.ts';
import { addSetupCommand } from './setup.ts';
import { addStoreCommands } from './store.ts';
import { addStudyCommands } from './study.ts';
import type { CliContext } from './terminal.ts';
import { addTrackCommand } from './track.ts';
import { addVerifyCommand } from './verify.ts';
import { addWorkerCommand } from './worker.ts';

const exitCodeHelp = `
Exit codes:
  0 ok, 1 failed, 2 done, but what was demanded of the result does not hold
  (retention.max_drop, tms verify, tms study --expect), 3 wrong usage or configuration,
  130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP`;

/** Parsing it runs the command. */
export function makeProgram(context: CliContext): Command {
  const program = new Command('tms')
    .description('Fine-tune Hugging Face models; measure and limit what they forget.')
    .version(context.version)
    .option('--verbose', 'show stack traces with errors')
    .showHelpAfterError('(tms --help lists the commands, tms help <command> explains one)')
    .exitOverride()
    .configureOutput({ writeErr: text => context.terminal.note(text.trimEnd()) })
    .addHelpText('after', exitCodeHelp);
  addRunCommands(program, context);
  addReportCommands(program, context);
  addVerifyCommand(program, context);
  addTrackCommand(program, context);
  addPushCommand(program, context);
  addStudyCommands(program, context);
  addGenerateCommand(program, context);
  addEvalCommand(program, context);
  addMergeCommand(program, context);
  addDataCommands(program, context);
  addGradeCommand(program, context);
  addStoreCommands(program, context);
  addWorkerCommand(program, context);
  addSetupCommand(program, context);
  addDoctorCommand(program, context);
  return program;
}
