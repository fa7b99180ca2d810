/** The board: one route at three settings of the dial, called from two devices again and again. */

import { element } from "../element.js";
import { call } from "./api.js";

const BARS = 48;
const KEPT = 31; // costs for the median
const CALM_MS = 450;
const QUICK_MS = 40;
const QUICK_FOR_MS = 1500;

/** Who said that the token was not revoked, in words. What was taken back once is refused from memory, at any setting. */
const ASKED = { none: "nobody", follower: "its own memory", redis: "Redis" };

const WAYS = [
  ["stateless", "inf", "Believes the token until it expires."],
  ["bounded", null, "Decides from memory that is never older than this."],
  ["strict", "0", "Asks Redis before every yes."],
];

export class Board {
  /**
   * @param {HTMLElement} place with `data-bound`, the service's own max_staleness
   * @param {HTMLElement} summary the body of a table that says the same in a few words
   * @param {Array<{name: string, token: string}>} devices their tokens may change at any time
   * @param {function(string)} announce for those who do not see the bars
   * @param {function()} ended the first device's token has expired
   */
  constructor(place, summary, devices, announce, ended) {
    this.devices = devices;
    this.announce = announce;
    this.ended = ended;
    this.hasEnded = false;
    this.paused = false;
    this.quickUntil = 0;
    const bound = place.dataset.bound;
    this.ways = WAYS.map(([name, staleness, promise]) => new Way(name, staleness ?? bound, promise, devices));
    place.replaceChildren(...this.ways.map((way) => way.view));
    summary.replaceChildren(...devices.map((device, row) => element("tr", {},
      element("th", { scope: "row" }, device.name), ...this.ways.map((way) => element("td", {}, way.rows[row].echo)))));
    this.said = "";
    this.run();
  }

  /** Call as fast as the service answers, for a moment: something is about to happen. */
  hurry() {
    this.quickUntil = performance.now() + QUICK_FOR_MS;
  }

  /** A mark on every row: here something was revoked. */
  mark() {
    for (const way of this.ways) for (const row of way.rows) row.mark();
  }

  async run() {
    for (;;) {
      const quick = performance.now() < this.quickUntil;
      if ((!this.paused || quick) && !document.hidden) {
        await Promise.all(this.ways.flatMap((way) => this.devices.map((device, row) => way.ask(device.token, row))));
        this.tell();
      }
      await new Promise((resolve) => { setTimeout(resolve, quick ? QUICK_MS : CALM_MS); });
    }
  }

  /** Only what has changed is said aloud. */
  tell() {
    const words = this.devices.map((device, row) =>
      `${device.name}: ${this.ways.map((way) => `${way.name} ${way.rows[row].verdict}`).join(", ")}.`).join(" ");
    if (this.said && words !== this.said) this.announce(words);
    this.said = words;
    const hasEnded = this.ways[0].rows[0].verdict.endsWith("expired");
    if (hasEnded && !this.hasEnded) this.ended();
    this.hasEnded = hasEnded;
  }
}

/** One setting of the dial. */
class Way {
  constructor(name, staleness, promise, devices) {
    this.name = name;
    this.costs = [];
    this.redis = 0;
    this.calls = 0;
    this.rows = devices.map((device) => new Row(device.name));
    this.cost = element("dd", {}, "–");
    this.asked = element("dd", {}, "–");
    this.total = element("dd", {}, "–");
    this.view = element("article", { class: `way ${name}`, "aria-labelledby": `way-${name}` },
      element("h3", { id: `way-${name}` }, name),
      element("p", { class: "dial mono" }, `max_staleness = ${staleness}`),
      element("p", { class: "promise quiet" }, promise),
      ...this.rows.map((row) => row.view),
      element("dl", { class: "costs" },
        element("div", {}, element("dt", {}, "Who was asked"), this.asked),
        element("div", {}, element("dt", {}, "Time to decide"), this.cost),
        element("div", {}, element("dt", {}, "Redis commands"), this.total)));
  }

  async ask(token, row) {
    let answer;
    try {
      answer = await call(`/demo/${this.name}`, { token });
    } catch {
      this.rows[row].add("down", "no answer");
      return;
    }
    const verdict = answer.reason ? `${answer.status} ${answer.reason}` : String(answer.status);
    this.rows[row].add(answer.status < 300 ? "ok" : answer.status === 401 ? "refused" : "down", verdict);
    if (answer.timing) this.count(answer.timing, answer.status < 300);
  }

  count({ verify, revocation, source }, isYes) {
    this.calls += 1;
    if (source === "redis") this.redis += 1; // one MGET
    this.total.textContent = `${this.redis} in ${this.calls} calls`;
    if (!isYes) return;
    this.costs.push(verify + revocation);
    if (this.costs.length > KEPT) this.costs.shift();
    this.asked.textContent = ASKED[source];
    this.cost.textContent = `${median(this.costs).toFixed(3)} ms`;
  }
}

/** The calls of one device, oldest on the left. */
class Row {
  constructor(device) {
    this.verdict = "not asked yet";
    this.chip = element("span", { class: "chip" }, "–");
    this.echo = element("span", { class: "chip" }, "–");
    this.bars = element("div", { class: "bars", "aria-hidden": "true" },
      ...Array.from({ length: BARS }, () => element("i")));
    this.view = element("div", { class: "row" },
      element("p", {}, element("span", { class: "device" }, device), " ", this.chip), this.bars);
  }

  add(kind, verdict) {
    const bar = element("i", { class: this.marked ? `${kind} marked` : kind });
    this.marked = false;
    this.bars.firstChild.remove();
    this.bars.append(bar);
    if (verdict !== this.verdict) {
      this.verdict = verdict;
      for (const chip of [this.chip, this.echo]) {
        chip.className = `chip ${kind === "down" ? "warn" : kind}`;
        chip.textContent = verdict;
      }
    }
  }

  mark() {
    this.marked = true;
  }
}

function median(numbers) {
  const sorted = [...numbers].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}
