import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { keysAt, listSettings } from '../../src/config/settings-list.ts';

describe('listSettings', () => {
  it('gives every setting one explanation and a source', () => {
    for (const { path, description, 'x-source': source } of listSettings()) {
      expect(description, path).toMatch(/\S.*[.…)]$/s);
      expect(['trl', 'ours', 'paper'], path).toContain(source);
    }
  });

  it('looks into blocks and into the entries of lists', () => {
    const paths = listSettings().map(({ path }) => path);
    expect(paths).toContain('tms');
    expect(paths).toContain('tms.student.learning_rate');
    expect(paths).toContain('retention.sets.*.columns.choices');
    expect(new Set(paths).size).toBe(paths.length);
  });
});

describe('keysAt', () => {
  it('gives the keys of a block, also inside a list', () => {
    expect(keysAt(['eval'])).toEqual(['sets', 'suites', 'suites_path', 'temperatures']);
    expect(keysAt(['eval', 'sets', 0])).toContain('scorer');
    expect(keysAt(['nothing', 'here'])).toEqual([]);
  });
});

describe('configJsonSchema', () => {
  type Property = {
    description: string;
    default?: unknown;
    additionalProperties?: boolean;
    properties?: Record<string, Property>;
  };
  const schema = configJsonSchema() as unknown as Property & { required: string[] };

  it('asks only for what has no default and allows nothing unknown', () => {
    expect(schema.required).toEqual(['output_dir', 'model_name_or_path', 'dataset_name']);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties?.tms?.additionalProperties).toBe(false);
  });

  it('carries default, explanation and the guessed mark', () => {
    expect(schema.properties?.tms?.properties?.temperature).toMatchObject({
      default: 1,
      'x-source': 'ours',
      'x-guessed': expect.stringContaining('exact sampling'),
    });
  });

  it('is what configs/schema.json holds', () => {
    const root = join(import.meta.dirname, '../..');
    const tsx = join(root, 'node_modules/tsx/dist/cli.mjs');
    execFileSync(process.execPath, [tsx, 'scripts/generate-schema.ts', '--check'], { cwd: root });
  });
});
