/** A stand-in for the Hugging Face hub: as much of its HTTP interface as huggingface_hub and datasets use to read. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** `denied`: how the hub refuses it, by its error code. */
type Repository = {
  readonly files?: Readonly<Record<string, string>>;
  readonly denied?: { readonly status: number; readonly code: string };
};

type Repositories = Readonly<Record<string, Repository>>;

export type HubServer = {
  readonly url: string;
  readonly requests: string[];
  /** Make another content `main` of every repository; returns its commit. Earlier commits stay. */
  readonly publish: (repositories: Repositories) => string;
  readonly close: () => Promise<void>;
};

/** What is asked; `respond` may take it, and then returns true. */
export type HubRequest = {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
};
type Respond = (request: HubRequest, response: ServerResponse) => boolean;

/** Serve `repositories`, by names such as `datasets/owner/name`. */
export async function startHubServer(
  repositories: Repositories,
  respond: Respond = () => false,
): Promise<HubServer> {
  const requests: string[] = [];
  const commits = new Map<string, Repositories>();
  let main = '';
  const publish = (content: Repositories) => {
    main = sha1(JSON.stringify(content));
    commits.set(main, content);
    return main;
  };
  publish(repositories);
  const server = createServer(async (incoming, response) => {
    const request = await readRequest(incoming);
    requests.push(`${request.method} ${request.url.pathname}`);
    if (respond(request, response)) return;
    const { status = 200, headers = {}, body = '' } = answer(commits, main, request);
    response.writeHead(status, headers);
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>(done => {
      server.close(() => done());
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${port}`, requests, publish, close };
}

async function readRequest(incoming: IncomingMessage): Promise<HubRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const url = new URL(decodeURIComponent(incoming.url ?? ''), 'http://hub');
  return { method: incoming.method ?? '', url, headers: incoming.headers, body: Buffer.concat(chunks) };
}

type Answer = { status?: number; headers?: Record<string, string | number>; body?: string };

const address =
  /^\/(?:api\/)?((?:datasets|models)\/[\w.-]+\/[\w.-]+)(?:\/(revision|tree|resolve)\/([^/]+)(?:\/(.*))?)?$/;

function answer(commits: ReadonlyMap<string, Repositories>, main: string, { url }: HubRequest): Answer {
  const [, id = '', verb = 'revision', revision = 'main', path = ''] = address.exec(url.pathname) ?? [];
  const commit = revision === 'main' ? main : revision;
  const repository = (commits.get(commit) ?? commits.get(main))?.[id];
  if (repository === undefined) return refusal(401, 'RepoNotFound', 'Repository not found');
  const { denied, files = {} } = repository;
  if (denied !== undefined) return refusal(denied.status, denied.code, `Access to ${id} is refused`);
  if (!commits.has(commit)) return refusal(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
  const siblings = Object.keys(files).map(rfilename => ({ rfilename }));
  if (verb === 'revision')
    return json({ id: id.replace(/^\w+\//, ''), sha: commit, private: false, siblings });
  return verb === 'tree' ? json(entriesOf(files, path)) : fileAnswer(files[path], path, commit);
}

function fileAnswer(content: string | undefined, path: string, commit: string): Answer {
  if (content === undefined) return refusal(404, 'EntryNotFound', `${path} does not exist`);
  const headers = {
    'content-length': Buffer.byteLength(content),
    'X-Repo-Commit': commit,
    ETag: `"${sha1(content)}"`,
  };
  return { headers, body: content };
}

/** What lies directly in a folder. */
function entriesOf(files: Readonly<Record<string, string>>, folder: string): object[] {
  const start = folder === '' ? '' : `${folder}/`;
  const within = Object.keys(files).filter(name => name.startsWith(start));
  const below = [...new Set(within.map(name => start + (name.slice(start.length).split('/')[0] as string)))];
  return below.map(path => {
    const content = files[path];
    return content === undefined
      ? { type: 'directory', path, size: 0, oid: sha1(path) }
      : { type: 'file', path, size: Buffer.byteLength(content), oid: sha1(content) };
  });
}

function refusal(status: number, code: string, message: string): Answer {
  return {
    status,
    headers: { 'X-Error-Code': code, 'X-Error-Message': message },
    body: JSON.stringify({ error: message }),
  };
}

function json(value: unknown): Answer {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

function sha1(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}
