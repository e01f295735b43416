import type { Command } from 'commander';
import { exitCodes } from '../errors.ts';
import { type DoctorFacts, examine, type Problem } from './doctor-facts.ts';
import { parityCommand } from './doctor-parity.ts';
import { type CliContext, type Terminal, wrap } from './terminal.ts';

interface DoctorFlags {
  python?: string;
  json?: boolean;
  parity?: string;
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
    .option(
      '--parity <model>',
      'hold a sampler against the trainer on a model, or on that of a configuration (YAML)',
    )
    .addHelpText('after', examples)
    .action(async (flags: DoctorFlags) => {
      context.exitCode =
        flags.parity === undefined
          ? await examineAndPrint(flags, context)
          : await parityCommand(flags.parity, flags.json === true, context);
    });
}

const examples = `
Exits with 0 when tms can run, with 1 when something that it needs is missing, or where trainer and sampler differ too much.

Examples:
  $ npx tms doctor
  $ npx tms doctor --json | jq .problems
  $ npx tms doctor --parity my.yaml       # log-probabilities of sampler and trainer`;

async function examineAndPrint(flags: DoctorFlags, { terminal, env, version }: CliContext): Promise<number> {
  if (terminal.isInteractive) terminal.note('asking Python for torch, transformers and peft …');
  const facts = await examine({ python: flags.python, env, version });
  if (flags.json) terminal.print(JSON.stringify(facts, null, 2));
  else for (const line of doctorText(facts, terminal)) terminal.print(line);
  return facts.ok ? exitCodes.ok : exitCodes.failed;
}

type Row = readonly [label: string, text: string];

const labelWidth = 14;
const narrowColumns = 60;
const sources = {
  option: 'from --python',
  variable: 'from TMS_PYTHON',
  own: 'our environment',
  active: 'the active environment',
} as const;

/** The findings for a person, as lines no wider than the terminal except for commands to copy. */
function doctorText(facts: DoctorFacts, terminal: Terminal): string[] {
  const sections: [string, Row[]][] = [
    [`tms ${facts.tms.version}`, programRows(facts)],
    ['Machine', machineRows(facts)],
    ['Determinism', determinismRows(facts)],
  ];
  const lines = sections.flatMap(([title, rows]) =>
    rows.length === 0
      ? []
      : [terminal.paint('bold', title), ...rows.flatMap(row => rowLines(row, terminal)), ''],
  );
  return [...lines, ...verdict(facts.problems, terminal)];
}

function programRows({ machine, nodePackages, python, vllm }: DoctorFacts): Row[] {
  const loaded = nodePackages.map(({ name, version }) => `${name} ${version ?? 'missing'}`).join(', ');
  const node: Row = ['Node', `${machine.node} with ${loaded}`];
  if (python === null) return [node, ['Python', 'none']];
  const packages = Object.entries(python.environment?.packages ?? {});
  const versions = packages.map(([name, version]) => `${name} ${version ?? 'missing'}`).join(', ');
  return [
    node,
    ['Python', `${python.version}, ${sources[python.source]}: ${python.path}`],
    ...(vllm === null ? [] : [['Python of vLLM', vllm] as const]),
    ...(versions === '' ? [] : [['packages', versions] as const]),
  ];
}

function machineRows({ machine, python, disk }: DoctorFacts): Row[] {
  const torch = python?.environment?.torch ?? null;
  const use = torch === null ? '' : `, torch uses ${plural(torch.threads, 'thread')} and ${torch.capability}`;
  const devices = torch?.cudaDevices ?? [];
  return [
    ['system', machine.platform],
    ['CPU', `${machine.cpu}, ${plural(machine.cores, 'core')}${use}`],
    ...devices.map(
      (device, index): Row => [
        `GPU ${index}`,
        `${device.name}, ${gigabytes(device.freeBytes)} of ${gigabytes(device.totalBytes)} free, compute ${device.capability}`,
      ],
    ),
    ...(torch !== null && devices.length === 0
      ? [['GPU', 'none that torch can use: work runs on the CPU'] as const]
      : []),
    ['memory', `${gigabytes(machine.freeMemoryBytes)} of ${gigabytes(machine.memoryBytes)} free`],
    ...disk.map(
      ({ use: purpose, path, freeBytes }): Row => [
        'disk',
        `${gigabytes(freeBytes)} free for ${purpose}: ${path}`,
      ],
    ),
  ];
}

function determinismRows({ determinism }: DoctorFacts): Row[] {
  return determinism.map(({ name, value, isActive, meaning }) => [
    isActive ? 'active' : 'not active',
    `${name}=${value} – ${meaning}`,
  ]);
}

function verdict(problems: readonly Problem[], terminal: Terminal): string[] {
  const lines = problems.flatMap(({ what, fix, isFatal }) => {
    const label = isFatal ? terminal.paint('red', 'missing:') : terminal.paint('yellow', 'warning:');
    const [first = '', ...rest] = wrap(what, Math.max(terminal.columns - 10, 20));
    return [`${label} ${first}`, ...rest.map(line => `         ${line}`), `    fix: ${fix}`];
  });
  const isWell = problems.every(problem => !problem.isFatal);
  return [...lines, ...(isWell ? [terminal.paint('green', 'All that tms needs is here.')] : [])];
}

function rowLines([label, text]: Row, terminal: Terminal): string[] {
  const isNarrow = terminal.columns < narrowColumns;
  const indent = isNarrow ? 4 : labelWidth;
  const lines = wrap(text, Math.max(terminal.columns - indent, 20)).map(line => ' '.repeat(indent) + line);
  if (isNarrow) return [`  ${label}`, ...lines];
  const [first = '', ...rest] = lines;
  return [`  ${label}`.padEnd(labelWidth) + first.trimStart(), ...rest];
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function gigabytes(bytes: number): string {
  const amount = bytes / 1e9;
  return `${amount.toFixed(amount < 10 ? 1 : 0)} GB`;
}
