// The server's two doors for this page: the API of sessions and tracks, which the page reaches
// without a secret under its own origin, and the presence service, which knows who is in a room.
// Every other file talks to the server through here.

/** Longest wait for a reply in milliseconds: a pull waits up to 9 s for its publisher. */
const REPLY_MAX = 15000;

/** A request that failed: the API's code and text, or `network` when no reply came. */
export class ApiError extends Error {
  constructor(code, text, status) {
    super(text);
    this.code = code;
    this.status = status;
  }
}

async function request(method, path, body, { keepalive = false, limit = REPLY_MAX } = {}) {
  let reply;
  let json;
  try {
    reply = await fetch(path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      keepalive,
      signal: AbortSignal.timeout(limit),
    });
    json = await reply.json();
  } catch (error) {
    throw new ApiError('network', 'the server cannot be reached', 0, { cause: error });
  }
  if (json.errorCode) throw new ApiError(json.errorCode, json.errorDescription, reply.status);
  return json;
}

/** A call of the API below the app, such as `POST /sessions/new`. */
export const api = (method, path, body, options) => (
  request(method, `/page/api${path}`, body, options));

const place = (room, member) => `/demo/api/${encodeURIComponent(room)}/${member}`;

/** Says what a member does; returns all members of the room. */
export const stay = async (room, member, beat) => (
  (await request('PUT', place(room, member), beat, { limit: 5000 })).members);

/** Leaves a room; also while the page is being closed. */
export const leave = (room, member, key) => (
  request('DELETE', place(room, member), { key }, { keepalive: true }));

/** So many random bytes as hexadecimal digits. */
export const random = (bytes) => (
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)),
    (byte) => byte.toString(16).padStart(2, '0')).join(''));
