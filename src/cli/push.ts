import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { readRecord } from '../files/read-record.ts';
import { lazySide } from '../python/lazy-side.ts';
import { modelCard, plainCard } from '../report/model-card.ts';
import { readResults } from '../report/results.ts';
import { inspectRun } from '../run/existing-run.ts';
import type { CliContext } from './terminal.ts';

type PushFlags = { private?: boolean; revision?: string; dryRun?: boolean; python?: string };

/** `tms push`: a model to the hub, with a card that says what it kept. */
export function addPushCommand(program: Command, context: CliContext): void {
  program
    .command('push')
    .summary('upload a model to the Hugging Face hub, with its card')
    .description(
      'Upload the model of a run, or a directory with a model, to a repository of the Hugging Face hub, which is made where it is not there. Its card has ' +
        'the table of what it gained and kept, the recipe (without folders of this machine), digests of the data and the command.',
    )
    .argument('<dir>', 'output_dir of a run, or a directory with a model')
    .argument('<repository>', 'OWNER/NAME on the hub')
    .option('--private', 'make the repository for its owner alone, where it is made now')
    .option('--revision <branch>', 'push to this branch, made where it is not there (default: main)')
    .option('--dry-run', 'print the card and the names of the files, and stop')
    .option('--python <path>', 'a Python with huggingface_hub (default: as for tms run)')
    .addHelpText('after', examples)
    .action((directory: string, repository: string, flags: PushFlags) =>
      push({ directory, repository }, flags, context),
    );
}

const examples = `
Needs \`hf auth login\` or HF_TOKEN; HF_ENDPOINT names another hub. tms merge
makes one model of an adapter; GGUF files are made by other tools: docs/push.md.

Examples:
  $ npx tms push runs/a5 me/smollm2-gsm8k --dry-run
  $ npx tms push runs/a5 me/smollm2-gsm8k --private`;

type Target = { readonly directory: string; readonly repository: string };
const pushed = z.object({ url: z.string(), commit: z.string(), files: z.number() });

async function push(
  { directory, repository }: Target,
  flags: PushFlags,
  { terminal, env }: CliContext,
): Promise<void> {
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository))
    throw new UsageError(`${JSON.stringify(repository)} is no repository of the hub`, {
      fix: 'write OWNER/NAME',
    });
  const { folder, card } = await modelIn(directory, repository);
  if (flags.dryRun) {
    terminal.print(card);
    terminal.note(`the files of ${folder} and this card would go to ${repository}`);
    return;
  }
  const report = (line: string) => terminal.note(line);
  const side = lazySide('hub_push.py', { python: flags.python, env, report });
  try {
    terminal.note(`uploading ${folder} to ${repository}`);
    const args = {
      folder,
      repository,
      private: flags.private ?? false,
      revision: flags.revision ?? null,
      card,
    };
    const { url, commit, files } = await side.call('push', args, pushed);
    terminal.print(`${url}  ${files} files, commit ${commit}`);
  } finally {
    await side.close();
  }
}

const adapterConfig = z.object({ base_model_name_or_path: z.string().nullish() });

async function modelIn(directory: string, repository: string): Promise<{ folder: string; card: string }> {
  const isModel = (path: string) =>
    ['config.json', 'adapter_config.json'].some(file => existsSync(join(path, file)));
  const adapterOf = (path: string) => existsSync(join(path, 'adapter_config.json'));
  if (isModel(directory)) {
    const isAdapter = adapterOf(directory);
    const { value } = readRecord(join(directory, 'adapter_config.json'), adapterConfig);
    return {
      folder: directory,
      card: plainCard(value?.base_model_name_or_path ?? null, { repository, isAdapter }),
    };
  }
  if (!existsSync(directory) || inspectRun(directory) !== 'run')
    throw new UsageError(`${directory} holds neither a run nor a model`, {
      fix: 'name the output_dir of a run, or a directory with config.json or adapter_config.json',
    });
  const results = await readResults(directory);
  if (results.model === null)
    throw new UsageError(`${directory} has no model yet: the run is ${results.run.status}`, {
      fix: `go on with it: npx tms resume ${directory}`,
    });
  const { path: folder, training } = results.model;
  if (training.name !== results.made?.name)
    throw new UsageError(
      `${directory} holds the model of ${training.label}, not that of ${results.made?.label}`,
      {
        fix: `name the directory of the model that you mean: npx tms push ${folder} ${repository}`,
      },
    );
  return { folder, card: modelCard(results, { repository, isAdapter: adapterOf(folder) }) };
}
