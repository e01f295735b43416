import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { trackerNames } from '../config/training-settings.ts';
import { exitCodes, UsageError } from '../errors.ts';
import { readRunRecord } from '../run/existing-run.ts';
import { startTracking, type TrackerName } from '../runner/track.ts';
import type { CliContext } from './terminal.ts';

type TrackFlags = { to: TrackerName[]; name?: string; python?: string };

/** `tms track`: send a run to trackers afterwards. */
export function addTrackCommand(program: Command, context: CliContext): void {
  program
    .command('track')
    .summary('send the curves of a run to trackers')
    .description(
      'Send what a run measured to trackers, as report_to does while it runs. What a tracker has already is not sent again: ' +
        'trackers/ in the run directory says how far it came; without that folder all is sent anew.',
    )
    .argument('<dir>', 'output_dir of a run, finished or not')
    .requiredOption('--to <names>', `trackers: ${trackerNames.join(', ')}`, trackersIn)
    .option('--name <name>', 'name of the run there (default: the name of the directory)')
    .option('--python <path>', 'a Python that has the trackers (default: as for tms run)')
    .addHelpText('after', examples)
    .action((directory: string, flags: TrackFlags) => track(directory, flags, context));
}

const examples = `
Each training is a run of the tracker. TensorBoard files lie in tensorboard/
of the run (or TENSORBOARD_LOGGING_DIR); the others read their own variables:
WANDB_PROJECT, WANDB_MODE, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME,
TRACKIO_PROJECT, TRACKIO_SPACE_ID.

Examples:
  $ npx tms track runs/a5 --to tensorboard
  $ WANDB_MODE=offline npx tms track runs/a5 --to wandb,mlflow`;

function trackersIn(text: string): TrackerName[] {
  return text.split(',').map(word => {
    const name = trackerNames.find(known => known === word.trim());
    if (name === undefined) throw new InvalidArgumentError(`there are ${trackerNames.join(', ')}.`);
    return name;
  });
}

async function track(directory: string, flags: TrackFlags, context: CliContext): Promise<void> {
  const { terminal, env } = context;
  readRunRecord(directory);
  if (!existsSync(join(directory, 'metrics.jsonl')))
    throw new UsageError(`${directory} has no metrics.jsonl: nothing was measured yet`, {
      fix: `go on with it: npx tms resume ${directory}`,
    });
  const python = flags.python ?? env.TMS_PYTHON ?? null;
  const { name = null, to } = flags;
  const say = (line: string) => terminal.note(line);
  const tracking = startTracking({ directory, name, to, python, follow: false, say, patienceSeconds: 3600 });
  const late = await tracking.close();
  for (const tracker of to.filter(each => !late.includes(each)))
    terminal.print(`${tracker} has the whole run`);
  if (late.length > 0) context.exitCode = exitCodes.failed;
}
