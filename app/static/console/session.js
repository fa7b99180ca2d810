// Being signed in. The access token lives in this module's memory and nowhere else; the refresh token is in a cookie
// that no script can read, so a reload asks the server for the next access token.

import { ROOT } from "../root.js";

let token = null;
let renewing = null;
let who = null;

/** A request that was answered with a refusal, or with nothing. */
export class Refusal extends Error {
  constructor(status, problem, retryAfter) {
    super(problem?.detail ?? "The service does not answer.");
    this.status = status;
    this.reason = problem?.reason;
    this.retryAfterSeconds = retryAfter;
  }
}

export const events = new EventTarget();

export const username = () => who;

export async function signIn(name, password) {
  take(await ask("POST", "/console/session", { username: name, password }));
}

/** Stay signed in by the cookie; false where it gives nothing. */
export async function resume() {
  // Tabs share the cookie and each use of it is its last one, so within this tab it is used once at a time.
  renewing ??= ask("POST", "/console/session/refresh").finally(() => { renewing = null; });
  try {
    const answer = await renewing;
    if (answer === null) return false;
    take(answer);
    return true;
  } catch (refusal) {
    if (refusal.status === 401 || refusal.status === 403) return false;
    throw refusal;
  }
}

export async function signOut() {
  await ask("DELETE", "/console/session");
  token = null;
}

/** A request to the API as the admin; signs in again by the cookie where the access token has expired. */
export async function api(method, path, body) {
  try {
    return await ask(method, path, body, token);
  } catch (refusal) {
    if (refusal.status === 403) throw over("Your account may not administer any more.");
    if (refusal.status !== 401) throw refusal;
  }
  // After a key was withdrawn some processes sign with it for five seconds more, and a token of theirs is refused too.
  for (const pause of [0, 1000, 2000, 3000]) {
    await new Promise((done) => { setTimeout(done, pause); });
    if (!(await resume())) break;
    try {
      return await ask(method, path, body, token);
    } catch (refusal) {
      if (refusal.status !== 401) throw refusal;
    }
  }
  throw over("Your session has ended. Sign in again.");
}

/** When the process that answers last heard of Redis; null where it never did, or does not answer. */
export async function heard() {
  try {
    const { follower } = await ask("GET", "/healthz");
    const age = follower?.age_seconds ?? null;
    return age === null ? null : new Date(Date.now() - 1000 * age).toISOString();
  } catch {
    return null;
  }
}

function over(message) {
  token = null;
  events.dispatchEvent(new CustomEvent("over", { detail: message }));
  return new Refusal(401, { detail: message });
}

function take(answer) {
  token = answer.access_token;
  who = answer.username;
}

async function ask(method, path, body, bearer) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  let answer;
  try {
    answer = await fetch(ROOT + path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin", cache: "no-store", redirect: "error",
    });
  } catch {
    throw new Refusal(0);
  }
  const text = await answer.text();
  let said = null;
  try {
    said = text ? JSON.parse(text) : null;
  } catch {
    throw new Refusal(answer.status);
  }
  if (!answer.ok) throw new Refusal(answer.status, said, Number(answer.headers.get("Retry-After")) || 0);
  return said;
}
