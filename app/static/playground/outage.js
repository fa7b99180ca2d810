/** An outage of a Redis that was started for this visitor: what each way of knowing a caller answers meanwhile. */

import { ROOT } from "../root.js";

/** @typedef {{at_seconds: number, is_redis_away: boolean, answers: Object<string, number>}} Sample */

/** @param {string} token @param {function(Sample)} seen each sample, as it is taken */
export async function outage(token, seen) {
  const response = await fetch(`${ROOT}/demo/outage`, {
    method: "POST", headers: { Authorization: `Bearer ${token}` }, cache: "no-store", credentials: "omit",
  });
  if (!response.ok) throw new Error((await response.json()).detail);
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) seen(JSON.parse(line));
  }
}

/** What a way answered while Redis was away, in a few words. @param {Array<Sample>} samples @param {string} way */
export function summary(samples, way) {
  const away = samples.filter(({ is_redis_away: isAway }) => isAway);
  if (!away.length) return "–";
  const refused = away.find(({ answers }) => answers[way] !== 200);
  if (!refused) return "goes on: 200";
  const status = refused.answers[way];
  const after = refused.at_seconds - away[0].at_seconds;
  return after < 0.3 ? `${status} at once` : `200 for ${after.toFixed(1)} s, then ${status}`;
}
