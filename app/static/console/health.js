// Whether what enforces revocations is well.

import { $, chip, code, count, distance, facts, h, row, table, time } from "./dom.js";
import { api } from "./session.js";

const COLUMNS = [["Follower", "id"], ["Last beat", ""], ["Log", ""]];

const bytes = (number) => (number < 1e6 ? `${Math.round(number / 1e3)} kB` : number < 1e9 ? `${(number / 1e6).toFixed(1)} MB` : `${(number / 1e9).toFixed(2)} GB`);
const milliseconds = (seconds) => (seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);

let shown = "";

export function clear() {
  shown = "";
  $("health-report").replaceChildren();
}

/** Ask, and show it: always in the corner, and in full where somebody looks. */
export async function look() {
  const report = await api("GET", "/admin/health");
  const ill = report.warnings.length;
  pulse(ill ? count(ill, "warning") : "all well", ill ? "warn" : "ok");
  if ($("health").hidden) return;
  // While somebody reads or selects, only what has changed is drawn again.
  const text = JSON.stringify(report);
  if (text !== shown) draw(report);
  shown = text;
}

/** What stands in the corner of every view. */
export function pulse(text, kind) {
  if ($("pulse").textContent !== text) $("pulse").textContent = text;
  $("pulse").className = `chip ${kind}`;
}

/** What is wrong, why it matters, since when, and what to do. */
const warning = ({ severity, what, why, mend, since }) =>
  h("div", { class: `message ${severity === "problem" ? "refused" : "warn"}` },
    h("p", {}, h("strong", {}, what), " ", why),
    h("p", { class: "quiet small" }, "Since ", time(since), " (", distance(since), ")"),
    mend && h("p", { class: "mend" }, "What to do: ", h("code", {}, mend)));

function draw({ warnings, followers, redis, epoch }) {
  const slow = (one) => one.age_seconds > 1;
  const rows = followers.map((one) => row(COLUMNS, [
    code(one.id),
    chip(`${milliseconds(one.age_seconds)} ago`, slow(one) ? "warn" : "ok"),
    one.caught_up ? "read to its end" : "reading",
  ]));
  $("health-report").replaceChildren(
    ...(warnings.length
      ? warnings.map(warning)
      : [h("p", { class: "message ok" }, "All well: every follower has read the log, and Redis keeps what it is told.")]),
    h("h3", {}, count(followers.length, "follower")),
    followers.length
      ? h("div", {}, table("Followers", COLUMNS, rows).element, h("p", { class: "quiet small" }, "What a process knows of revocations is as old as its last beat. While nothing happens, a beat waits a quarter of the shortest bound for news."))
      : h("p", { class: "quiet small" }, "No process follows the log: every check asks Redis."),
    h("h3", {}, "Redis"),
    facts([
      ["Server", `${redis.server} ${redis.version ?? ""}`], ["Role", redis.role && `${redis.role === "master" ? "primary" : redis.role}, ${count(redis.replicas ?? 0, "replica")}`],
      ["Round trip", milliseconds(redis.round_trip_seconds)], ["Clock", `${redis.clock_ahead_seconds >= 0 ? "+" : "−"}${milliseconds(Math.abs(redis.clock_ahead_seconds))}`],
      ["Memory", redis.memory_used_bytes && `${bytes(redis.memory_used_bytes)} of ${redis.memory_limit_bytes ? bytes(redis.memory_limit_bytes) : "no limit"}`],
      ["Eviction", redis.eviction_policy], ["On disk", redis.append_only === null ? null : redis.append_only ? "append-only file" : "nothing"],
      ["Started", redis.uptime_seconds !== null && distance(new Date(Date.now() - 1000 * redis.uptime_seconds).toISOString())],
    ]),
    h("h3", {}, "Epoch"),
    facts([["Opened", h("span", {}, time(epoch.opened_at), " (", distance(epoch.opened_at), ")")], ["Accepts tokens from", epoch.accepts_from ? time(epoch.accepts_from) : "any time"], ["Id", code(epoch.id)]]),
  );
}
