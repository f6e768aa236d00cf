// Requests with the token. It is kept in sessionStorage: gone with the tab, and never sent by the browser by itself.

const KEY = "wardstream.token";
const DEADLINE_MS = 20_000;

/** What the server refused: `status` (0: it was not reached) and a sentence. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The token, or null. One in the address' fragment is taken, and leaves the address at once. */
export function token() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(KEY);
}

export function keepToken(value) {
  sessionStorage.setItem(KEY, value);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

export function headers() {
  return { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
}

/** The JSON answer of a path; throws `Refused`. */
export async function get(path) {
  return (await ask(path, {})).json();
}

/** The JSON answer to a posted body; throws `Refused`. */
export async function post(path, body) {
  const answer = await ask(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
  return answer.json();
}

/** A picture, to be drawn from an object URL that the caller revokes; throws `Refused`. */
export async function picture(path) {
  return URL.createObjectURL(await (await ask(path, {})).blob());
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, {
      ...options,
      headers: { ...options.headers, ...headers() },
      cache: "no-store",
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch {
    throw new Refused(0, "The server was not reached.");
  }
  if (!answer.ok) throw new Refused(answer.status, await detail(answer));
  return answer;
}

async function detail(answer) {
  try {
    const body = await answer.json();
    return [body.detail, ...(body.fields ?? [])].join(" ");
  } catch {
    return `The server answered ${answer.status}.`;
  }
}
