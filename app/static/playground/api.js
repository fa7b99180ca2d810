/** Calls to the service, and what its answers say about themselves. */

import { ROOT } from "../root.js";

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} title the status in words
 * @property {string} reason why it was refused, in one word ("revoked", "expired", "signature"); "" if it was not
 * @property {object} body
 * @property {number} retryAfter seconds after which to ask again
 * @property {string} challenge the WWW-Authenticate header (RFC 6750)
 * @property {?Timing} timing null where nothing was decided
 * @property {string} serverTiming the header as it came
 *
 * @typedef {object} Timing
 * @property {number} milliseconds for the decision: the signature, the claims, and the question whether it was taken back
 * @property {"none"|"follower"|"redis"} source who answered that question
 */

/** @returns {Promise<Answer>} */
export async function call(path, { token, session, json, method = json ? "POST" : "GET" } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (session) headers.Authorization = `Session ${session}`;
  if (json) headers["Content-Type"] = "application/json";
  const response = await fetch(ROOT + path, {
    method,
    headers,
    body: json && JSON.stringify(json),
    cache: "no-store",
    credentials: "omit",
  });
  const isJson = /\bjson\b/.test(response.headers.get("Content-Type") ?? "");
  const body = isJson ? await response.json() : {};
  const serverTiming = response.headers.get("Server-Timing") ?? "";
  return {
    status: response.status,
    title: response.statusText || body.title || "",
    reason: response.ok ? "" : (body.reason ?? ""),
    body,
    retryAfter: Number(response.headers.get("Retry-After")) || 1,
    challenge: response.headers.get("WWW-Authenticate") ?? "",
    timing: readTiming(serverTiming),
    serverTiming,
  };
}

const ATTEMPTS = 4;

/**
 * Like `call`, but an answer above 399 is thrown as an Error whose message a visitor can read. After a 503 the same is
 * asked again, which is safe for everything that is asked here.
 */
export async function demand(path, options) {
  let answer = await call(path, options);
  for (let attempt = 1; answer.status === 503 && attempt < ATTEMPTS; attempt += 1) {
    await new Promise((resolve) => { setTimeout(resolve, answer.retryAfter * 1000); });
    answer = await call(path, options);
  }
  if (answer.status >= 400) throw new Error(`${answer.status}: ${answer.body.detail ?? answer.title}`);
  return answer.body;
}

/** @returns {?Timing} */
function readTiming(header) {
  const source = /desc="(\w+)"/.exec(header)?.[1];
  const parts = [...header.matchAll(/dur=([\d.]+)/g)].map(([, milliseconds]) => Number(milliseconds));
  return source ? { milliseconds: parts.reduce((sum, one) => sum + one, 0), source } : null;
}
