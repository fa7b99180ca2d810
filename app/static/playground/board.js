/** The board: one resource behind three ways of knowing a caller, called from two devices again and again. */

import { element } from "../element.js";
import { call } from "./api.js";
import { clock } from "./lives.js";
import { outage, summary } from "./outage.js";
import { read } from "./token.js";

const BARS = 32;
const KEPT = 31; // costs for the median
const CALM_MS = 450;
const QUICK_MS = 40;
const QUICK_FOR_MS = 1500;

const FACTS = ["Kept in Redis for the check", "Each request", "Taken back, it still works", "While Redis is away"];

/** How old may its knowledge be? The deny-list's column can be asked in two ways. */
const DIAL = [["bounded", null], ["strict", "0"]];

export class Board {
  /**
   * @param {HTMLElement} place a table, with `data-bound`, the service's own max_staleness
   * @param {Array<{name: string, token: string, sessionId: string}>} devices what they hold may change at any time
   * @param {function(string)} announce for those who do not see the bars
   * @param {function()} ended the first device's token has expired
   */
  constructor(place, devices, announce, ended) {
    this.devices = devices;
    this.announce = announce;
    this.ended = ended;
    this.hasEnded = false;
    this.paused = false;
    this.quickUntil = 0;
    this.session = new Way("session", "session", "Session", "looked up on every request", devices);
    this.stateless = new Way("stateless", "stateless", "JWT", "asks nobody", devices);
    this.hybrid = new Way("hybrid", "bounded", "JWT + deny-list", this.dial(place.dataset.bound), devices);
    this.ways = [this.session, this.stateless, this.hybrid];
    this.session.say(0, "a record for each login");
    this.stateless.say(0, "nothing");
    this.hybrid.say(0, "nothing yet");
    place.replaceChildren(
      element("thead", {}, element("tr", {}, ...this.ways.map((way) => way.head))),
      ...devices.map((device, row) => group(device.name, this.ways.map((way) => way.rows[row].view))),
      ...FACTS.map((fact, index) => group(fact, this.ways.map((way) => way.facts[index]))));
    this.said = "";
    this.run();
  }

  dial(bound) {
    return element("fieldset", { class: "dial" },
      element("legend", { class: "visually-hidden" }, "How old may its knowledge be?"),
      ...DIAL.map(([way, staleness]) => element("label", {},
        element("input", { type: "radio", name: "dial", value: way, checked: way === "bounded",
          onchange: () => { this.hybrid.turn(way); } }),
        staleness === null ? `at most ${Number(bound)} s old` : "asks Redis")));
  }

  /** Call as fast as the service answers, for a moment: something is about to happen. */
  hurry() {
    this.quickUntil = performance.now() + QUICK_FOR_MS;
  }

  /** A mark on every row: here something was taken back; `concerned` names the ways that it concerns. */
  mark(concerned) {
    for (const way of this.ways) way.mark(concerned.includes(way), this.devices[0]);
  }

  /** @param {number} entries how many entries the deny-list has for the first device's token */
  counted(entries) {
    this.hybrid.say(0, entries === 1 ? "1 entry, while it is needed" : `${entries || "no"} entries`);
  }

  /** Stop a Redis, and show what each way answers. @returns {Promise<Object<string, string>>} in words, by way */
  async stopRedis() {
    const samples = [];
    for (const way of this.ways) way.outage = samples;
    await outage(this.devices[1].token, (sample) => {
      samples.push(sample);
      for (const way of this.ways) way.sampled();
    });
    return Object.fromEntries(["session", "stateless", "bounded", "strict"].map((way) => [way, summary(samples, way)]));
  }

  async run() {
    for (;;) {
      const quick = performance.now() < this.quickUntil;
      if ((!this.paused || quick) && !document.hidden) {
        await Promise.all(this.ways.flatMap((way) => this.devices.map((device, row) => way.ask(device, row))));
        this.tell();
      }
      await new Promise((resolve) => { setTimeout(resolve, quick ? QUICK_MS : CALM_MS); });
    }
  }

  /** Only what has changed is said aloud. */
  tell() {
    const words = this.devices.map((device, row) =>
      `${device.name}: ${this.ways.map((way) => `${way.title} ${way.rows[row].verdict}`).join(", ")}.`).join(" ");
    if (this.said && words !== this.said) this.announce(words);
    this.said = words;
    const hasEnded = this.stateless.rows[0].verdict.endsWith("expired");
    if (hasEnded && !this.hasEnded) this.ended();
    this.hasEnded = hasEnded;
  }
}

/** Cells under a line that says what they are about. */
function group(name, cells) {
  return element("tbody", {},
    element("tr", { class: "about" }, element("th", { scope: "rowgroup", colspan: "3" }, name)),
    element("tr", {}, ...cells));
}

/** One way of knowing a caller: a column. */
class Way {
  constructor(name, path, title, promise, devices) {
    this.name = name;
    this.title = title;
    this.turn(path);
    this.rows = devices.map(() => new Row(name));
    this.facts = FACTS.map(() => element("td", { class: `fact ${name}` }, "–"));
    this.outage = null;
    this.head = element("th", { scope: "col", class: name }, element("span", { class: "title" }, title),
      typeof promise === "string" ? element("span", { class: "promise" }, promise) : promise);
  }

  /** Ask here from now on. */
  turn(path) {
    this.path = path;
    this.costs = [];
    this.commands = 0;
    this.calls = 0;
    if (this.outage) this.sampled();
  }

  say(fact, text) {
    if (this.facts[fact].textContent !== text) this.facts[fact].textContent = text;
  }

  mark(isConcerned, device) {
    for (const row of this.rows) row.mark();
    if (isConcerned) {
      this.marked = performance.now();
      this.expires = this.name === "session" ? null : read(device.token, "claims").exp * 1000;
      this.say(2, "…");
    }
  }

  async ask(device, row) {
    const asked = performance.now();
    const path = this.path;
    let answer;
    try {
      answer = await call(`/demo/${path}`, this.name === "session" ? { session: device.sessionId } : { token: device.token });
    } catch {
      this.rows[row].add("down", "no answer");
      return;
    }
    const isYes = answer.status < 300;
    const verdict = answer.reason ? `${answer.status} ${answer.reason.replaceAll("_", " ")}` : String(answer.status);
    this.rows[row].add(isYes ? "ok" : answer.status === 401 ? "refused" : "down", verdict);
    if (row === 0 && asked >= this.marked) this.judge(isYes);
    // What was asked before the dial was turned is no call of what is counted now.
    if (answer.timing && path === this.path) this.count(answer.timing, isYes);
  }

  /** How long what was taken back still works; the first answer of no ends it. */
  judge(isYes) {
    if (!isYes) {
      this.say(2, `for ${((performance.now() - this.marked) / 1000).toFixed(2)} s`);
      this.marked = Infinity;
    } else if (this.expires && performance.now() - this.marked > QUICK_FOR_MS) {
      this.say(2, `until it expires, in ${clock(Math.max(0, (this.expires - Date.now()) / 1000))}`);
    }
  }

  count({ milliseconds, source }, isYes) {
    this.calls += 1;
    if (source === "redis") this.commands += 1; // one GET or MGET
    if (!isYes) return;
    this.costs.push(milliseconds);
    if (this.costs.length > KEPT) this.costs.shift();
    const each = this.commands === this.calls ? "1 Redis command" : this.commands ? `${this.commands} Redis commands in ${this.calls}` : "no Redis command";
    this.say(1, `${median(this.costs).toFixed(3)} ms, ${each}`);
  }

  sampled() {
    this.say(3, summary(this.outage, this.path));
  }

  marked = Infinity;
}

/** The calls of one device, oldest on the left. */
class Row {
  constructor(way) {
    this.verdict = "not asked yet";
    this.chip = element("span", { class: "chip" }, "–");
    this.bars = element("div", { class: "bars", "aria-hidden": "true" },
      ...Array.from({ length: BARS }, () => element("i")));
    this.view = element("td", { class: `calls ${way}` }, this.chip, this.bars);
  }

  add(kind, verdict) {
    const bar = element("i", { class: this.marked ? `${kind} marked` : kind });
    this.marked = false;
    this.bars.firstChild.remove();
    this.bars.append(bar);
    if (verdict !== this.verdict) {
      this.verdict = verdict;
      this.chip.className = `chip ${kind === "down" ? "warn" : kind}`;
      this.chip.textContent = verdict;
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
