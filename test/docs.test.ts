/** What the documentation shows is what there is: commands are parsed, programs and signatures type-checked. configs.test.ts runs the configurations. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { makeProgram } from '../src/cli/program.ts';
import { processTerminal } from '../src/cli/terminal.ts';

const root = join(import.meta.dirname, '..');
const list = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' });
const pages = list
  .split('\n')
  .filter(page => page !== '' && page !== 'CHANGELOG.md' && existsSync(join(root, page)))
  .map(page => ({ page, text: readFileSync(join(root, page), 'utf8') }));
const blocks = (language: string) =>
  pages.flatMap(({ page, text }) =>
    [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)]
      .filter(([, found]) => found === language)
      .map(([, , code = ''], i) => ({ name: `${page}, ${language} ${i + 1}`, code })),
  );

describe('commands', () => {
  const terminal = processTerminal({});
  const shown = [
    ...blocks('sh').flatMap(({ name, code }) =>
      code.split('\n').map(line => [name, line.replace(/\s+#.*/, '')]),
    ),
    ...pages.flatMap(({ page, text }) =>
      [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => [page, span]),
    ),
  ] as [string, string][];
  const of = (program: RegExp) => {
    const found = shown.flatMap(([name, line]) =>
      program.test(line) ? [`${name}: ${line.replace(program, '')}`] : [],
    );
    return [...new Set(found)].map(text => [text, text.slice(text.indexOf(': ') + 2)] as const);
  };
  const words = (line: string) => (line.match(/"[^"]*"|\S+/g) ?? []).map(word => word.replaceAll('"', ''));

  it.each(of(/^(npx )?tms /))('%s is a command of tms with these arguments', async (text, line) => {
    const program = makeProgram({ terminal, env: {}, version: '0', exitCode: 0, goOn: null });
    doNothing(program);
    // In a sentence a command may stand by its name alone.
    const parsed = await program
      .parseAsync(words(line), { from: 'user' })
      .catch((error: CommanderError) => error);
    if (parsed instanceof Error && !(parsed.code === 'commander.missingArgument' && /^[^,]+: /.test(text)))
      throw parsed;
  });

  it.each(of(/^npm run /))('%s is a script of package.json', (_, line) => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(Object.keys(scripts)).toContain(words(line)[0]);
  });
});

/** Every command parses what it is given, and does nothing. */
function doNothing(command: Command): void {
  if (command.commands.length === 0) command.action(() => {});
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  for (const sub of command.commands) doNothing(sub);
}

describe('programs', () => {
  it('type-check against the package, and signatures are those of its functions', () => {
    const shown = blocks('ts');
    expect(shown.length).toBeGreaterThan(10);
    const exported = readFileSync(join(root, 'src/index.ts'), 'utf8');
    const cache = join(root, 'node_modules/.cache');
    mkdirSync(cache, { recursive: true });
    const folder = mkdtempSync(join(cache, 'docs-'));
    try {
      const files = shown.map(({ name, code }, i) => {
        const file = join(folder, `block-${i}.ts`);
        writeFileSync(
          file,
          `// ${name}\n${code.includes('import ') ? code : documented(code, exported)}\nexport {};\n`,
        );
        return file;
      });
      const options = { rootDir: root, paths: { tms: [join(root, 'src/index.ts')] } };
      const config = { extends: join(root, 'tsconfig.json'), compilerOptions: options, include: [], files };
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
      const tsc = join(root, 'node_modules/.bin/tsc');
      const { stdout } = spawnSync(tsc, ['-p', folder], { cwd: folder, encoding: 'utf8' });
      const named = stdout.replace(/block-(\d+)\.ts/g, (_, i) => shown[Number(i)]?.name ?? '');
      expect(named).toBe('');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** `name(parameters): Result` as a program that holds the function against it; types that the package does not export are anything. */
function documented(signature: string, exported: string): string {
  const [, name = '', parameters = '', result = ''] = /^(\w+)\((.*)\): (.*)$/s.exec(signature.trim()) ?? [];
  const types = [...new Set(`${parameters} ${result}`.match(/\b[A-Z]\w+/g) ?? [])].filter(
    type => type !== 'Promise',
  );
  const known = types.filter(type => new RegExp(`\\b${type}\\b`).test(exported));
  const others = types.filter(type => !known.includes(type)).map(type => `type ${type} = any;`);
  return [
    `import { ${[name, ...known.map(type => `type ${type}`)].join(', ')} } from 'tms';`,
    ...others,
    `const shown: (${parameters}) => ${result} = ${name};`,
    'void shown;',
  ].join('\n');
}
