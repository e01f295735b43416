/** `tms push`: the real huggingface_hub against a stand-in server that takes what it is sent. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HubRequest, type HubServer, startHubServer } from '../support/hub-server.ts';
import { called } from '../support/in-process.ts';
import { pythonWith } from '../support/python-packages.ts';
import { workFolder } from '../support/recorded-run.ts';
import { writeFinishedRun, writeUnfinishedRun } from '../support/run-fixture.ts';

const folder = workFolder();
const { python } = await pythonWith('datasets', 'huggingface_hub');

/** What arrived: the repository that was made, and the files of the commit by name. */
type Taken = { created: unknown; token: string | undefined; branch: string; files: Record<string, string> };
let taken: Partial<Taken>;
let server: HubServer;

/** As the hub answers where an owner pushes small files; `acme` is somebody else. */
function take({ method, url, body, headers }: HubRequest): object | number | null {
  if (method !== 'POST') return null;
  const text = body.toString();
  if (url.pathname === '/api/repos/create') {
    const { name, organization, visibility } = JSON.parse(text);
    if (organization === 'acme') return 403;
    taken.created = { id: `${organization}/${name}`, visibility };
    taken.token = headers.authorization;
    return { url: `${server.url}/${organization}/${name}` };
  }
  if (url.pathname.includes('/branch/')) return { ok: true };
  if (url.pathname.includes('/preupload/')) {
    const paths = (JSON.parse(text).files as { path: string }[]).map(({ path }) => path);
    return { files: paths.map(path => ({ path, uploadMode: 'regular', shouldIgnore: false, oid: null })) };
  }
  if (!url.pathname.includes('/commit/')) return {};
  const lines = text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  const sent = lines.filter(({ key }) => key === 'file').map(({ value }) => value);
  taken.branch = url.pathname.split('/commit/')[1] ?? '';
  taken.files = Object.fromEntries(
    sent.map(({ path, content }) => [path, Buffer.from(content, 'base64').toString()]),
  );
  return { commitOid: 'c0ffee', commitUrl: `${server.url}/me/demo/commit/c0ffee`, success: true };
}

beforeAll(async () => {
  server = await startHubServer({}, (request, response) => {
    const answer = take(request);
    if (answer === null) return false;
    response.writeHead(typeof answer === 'number' ? answer : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(typeof answer === 'number' ? { error: 'You have no right to write there' } : answer),
    );
    return true;
  });
  process.env.HF_ENDPOINT = server.url;
  process.env.HF_HOME = join(folder, 'hf');
  process.env.HF_TOKEN = 'hf_stand_in';
  writeFinishedRun(join(folder, 'run'));
  const model = join(folder, 'run', 'models', 'student');
  for (const [name, text] of [
    ['config.json', '{}'],
    ['model.safetensors', 'weights'],
  ] as const)
    writeFileSync(join(model, name), text);
});
afterAll(() => server.close());

/** What the command prints. */
async function push(...args: string[]): Promise<string> {
  taken = {};
  const { printed, error } = await called(['push', ...args, '--python', python], process.env);
  if (error !== null) throw error;
  return printed;
}

describe('the card of a run', () => {
  it('has the table of what was kept, the recipe without folders, digests and the command', async () => {
    const card = await push(join(folder, 'run'), 'me/demo', '--dry-run');
    expect(card).toMatch(
      /^---\nbase_model: lab\/base\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n {2}- tms\n---\n/,
    );
    // As run-fixture.ts writes it: 33 of 50 items right, one wrong of sort, two of next.
    expect(card).toContain('| TMS, last point (step 912) | 0.660 [0.52, 0.78] |');
    expect(card).toContain(
      '| next | retention | 12 | 1.000 [0.76, 1.00] | 0.333 [0.14, 0.61] | 0.833 [0.55, 0.95] |',
    );
    expect(card).toContain('data digest `da7a0000`, base model `ba5e0000`, configuration `c0ffee00`');
    expect(card).toContain('```sh\nnpx tms run recipe.yaml\n```');
    expect(card).toContain('from_pretrained("me/demo")');
    expect(card).not.toContain(folder);
  });

  it('is refused where there is no run or no model, before anything is asked', async () => {
    await expect(push('/nowhere', 'me/demo')).rejects.toMatchObject({
      exitCode: 3,
      message: '/nowhere holds neither a run nor a model',
    });
    writeUnfinishedRun(join(folder, 'half'));
    await expect(push(join(folder, 'half'), 'me/demo')).rejects.toThrow(
      'has no model yet: the run is interrupted',
    );
    await expect(push(join(folder, 'run'), 'demo')).rejects.toMatchObject({ fix: 'write OWNER/NAME' });
  });
});

describe('a push', () => {
  it('makes the repository and one commit with every file and the card', async () => {
    const said = await push(join(folder, 'run'), 'me/demo', '--private', '--revision', 'v2');
    expect(said).toContain('3 files, commit c0ffee');
    expect(taken).toMatchObject({
      created: { id: 'me/demo', visibility: 'private' },
      token: 'Bearer hf_stand_in',
      branch: 'v2',
      files: { 'config.json': '{}', 'model.safetensors': 'weights' },
    });
    expect(taken.files?.['README.md']).toBe(`${await push(join(folder, 'run'), 'me/demo', '--dry-run')}`);
  });

  it('that the hub refuses, or without a login, says so and what to do', async () => {
    const adapter = join(folder, 'adapter');
    mkdirSync(adapter);
    writeFileSync(
      join(adapter, 'adapter_config.json'),
      '{"base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M"}',
    );
    expect(await push(adapter, 'acme/demo', '--dry-run')).toContain(
      'base_model: HuggingFaceTB/SmolLM2-135M\nlibrary_name: peft',
    );
    await expect(push(adapter, 'acme/demo')).rejects.toMatchObject({
      message: expect.stringMatching(
        /the hub refuses the repository acme\/demo \(403\): .*no right to write there/,
      ),
      fix: expect.stringContaining('hf auth login'),
    });
    delete process.env.HF_TOKEN;
    await expect(push(adapter, 'me/demo')).rejects.toMatchObject({
      message: 'not logged in to the hub: there is no token',
      fix: expect.stringContaining('HF_TOKEN'),
    });
  });
});
