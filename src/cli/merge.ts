import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { lazySide } from '../python/lazy-side.ts';
import { findResultModel } from '../run/trainings.ts';
import type { CliContext } from './terminal.ts';

const resultSchema = z.object({ path: z.string(), base: z.string(), bytes: z.number() });

/** `tms merge`: for what takes no adapters. */
export function addMergeCommand(program: Command, context: CliContext): void {
  program
    .command('merge')
    .summary('make one model of a LoRA adapter and its base')
    .description(
      'Write the weights of a LoRA adapter (rsLoRA and DoRA too) added to those of its base, as a plain Hugging Face directory: for GGUF ' +
        'converters, quantisers and servers that take no adapters. On the CPU; the base is read as the adapter names it.',
    )
    .argument('<adapter>', 'directory with adapter_config.json, such as models/NAME of a run with use_peft')
    .argument('<out>', 'directory to write; it must be new or empty')
    .addOption(
      new Option('--dtype <name>', 'of the written weights')
        .choices(['float32', 'bfloat16'])
        .default('bfloat16'),
    )
    .option('--python <path>', 'use this Python (default: as for tms run)')
    .addHelpText('after', '\nExample:\n  $ npx tms merge runs/my/models/NAME merged')
    .action((adapter: string, out: string, flags: { dtype: string; python?: string }) =>
      merge(adapter, out, flags, context),
    );
}

async function merge(
  adapter: string,
  into: string,
  { dtype, python }: { dtype: string; python?: string },
  { terminal, env }: CliContext,
): Promise<void> {
  if (!existsSync(join(adapter, 'adapter_config.json'))) {
    const inside = existsSync(join(adapter, 'run.json')) ? findResultModel(adapter) : null;
    throw new UsageError(`${adapter} is no LoRA adapter: it has no adapter_config.json`, {
      fix:
        inside === null
          ? 'give a directory such as models/NAME of a run with use_peft; other models are whole already'
          : `npx tms merge ${inside.path} ${into}`,
    });
  }
  const side = lazySide('merge_side.py', { python, env, report: line => terminal.note(line) });
  try {
    const { path, base, bytes } = await side.call('merge', { adapter, into, dtype }, resultSchema);
    terminal.print(`merged into ${base}: ${path} (${(bytes / 1e6).toFixed(1)} MB, ${dtype})`);
  } finally {
    await side.close();
  }
}
