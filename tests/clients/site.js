// The application's side of the browsers' tests: serves the page and, below /partytracks, the proxy
// that partytracks brings for an application's server, on Node. Started by the test (stack.rs); its
// first line says where it listens; it ends with its standard input.

import { createServer } from 'node:http';

import { build } from 'esbuild';
import { routePartyTracksRequest } from 'partytracks/server';

const PAGE = '<!doctype html><meta charset="utf-8"><title>client</title><body>'
  + '<script src="/page.js"></script>';
// Of one connection, not for the next one (RFC 9110 section 7.6.1).
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host'];

const api = new URL(process.env.FANFALL_API);
const [, base, appId] = /^(.*)\/apps\/(.*)$/.exec(api.href);

// The package is written for a runtime whose `fetch` sends a stream as it is; Node's wants to be told.
const plainFetch = globalThis.fetch;
globalThis.fetch = (input, init) => plainFetch(
  input, init && init.body ? { ...init, duplex: 'half' } : init);

const bundle = await build({
  entryPoints: [new URL('page.js', import.meta.url).pathname],
  bundle: true,
  write: false,
  format: 'iife',
  target: 'es2022',
});
const script = bundle.outputFiles[0].text;

async function proxy(incoming, origin) {
  const pieces = [];
  for await (const piece of incoming) pieces.push(piece);
  const headers = Object.entries(incoming.headers).filter(([name]) => !HOP_BY_HOP.includes(name));
  const request = new Request(new URL(incoming.url, origin), {
    method: incoming.method,
    headers,
    ...(pieces.length && { body: Buffer.concat(pieces) }),
  });
  return routePartyTracksRequest({
    appId,
    token: process.env.FANFALL_SECRET,
    realtimeApiBaseUrl: base,
    lockSessionToInitiator: true,
    request,
  });
}

async function answer(incoming, outgoing) {
  if (incoming.url.startsWith('/partytracks/')) {
    const response = await proxy(incoming, `http://${incoming.headers.host}`);
    const body = Buffer.from(await response.arrayBuffer());
    const headers = [...response.headers].filter(([name]) => !/^(content-(length|encoding)|transfer-encoding|connection)$/.test(name));
    outgoing.writeHead(response.status, headers.flat());
    outgoing.end(body);
  } else if (incoming.url === '/page.js') {
    outgoing.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
  } else if (incoming.url === '/') {
    outgoing.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  } else {
    outgoing.writeHead(404).end();
  }
}

const server = createServer((incoming, outgoing) => {
  answer(incoming, outgoing).catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    outgoing.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${server.address().port}\n`);
});
process.stdin.resume().on('end', () => process.exit(0));
