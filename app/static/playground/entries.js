/** The deny-list as far as it concerns one token, with its lives running down. */

import { element } from "../element.js";
import { demand } from "./api.js";
import { read } from "./token.js";

const LOOK_AGAIN_MS = 5000;

const KINDS = {
  token: "this token", session: "its session", subject: "its user",
  client: "its client", key: "the key that signed it", issuer: "everyone",
};

export class Entries {
  /** @param {HTMLElement} rows the table's body @param {HTMLElement} lives where the remaining lives are drawn */
  constructor(rows, lives) {
    this.rows = rows;
    this.lives = lives;
    this.entries = [];
    this.bars = [];
    setInterval(() => { if (this.token && !document.hidden) this.tick(); }, 1000);
  }

  /** Show what concerns this token, now and from now on. */
  async watch(token) {
    this.token = token;
    this.expires = read(token, "claims").exp * 1000;
    await this.look();
  }

  async look() {
    const { entries } = await demand("/demo/denylist", { token: this.token });
    this.looked = performance.now();
    this.entries = entries;
    this.shown = entries.map((entry) => element("td"));
    this.rows.replaceChildren(...entries.map((entry, index) => element("tr", { class: entry.refuses ? "refuses" : "absent" },
      element("th", { scope: "row" }, KINDS[entry.kind], element("span", { class: "key mono" }, entry.key)),
      this.shown[index])));
    const oneOfToken = entries.find((entry) => entry.kind === "token" && entry.refuses);
    this.bars = oneOfToken ? [new Life("The token"), new Life("Its entry")] : [];
    this.lives.replaceChildren(...this.bars.map((bar) => bar.view));
    this.draw();
  }

  async tick() {
    if (performance.now() - this.looked > LOOK_AGAIN_MS) {
      // The token has expired at last, or the service is away: what was seen last goes on running down.
      await this.look().catch(() => { this.looked = performance.now() - LOOK_AGAIN_MS / 2; });
    }
    this.draw();
  }

  draw() {
    const since = (performance.now() - this.looked) / 1000;
    const left = this.entries.map((entry) => entry.present && entry.expires_in_seconds !== null
      ? Math.max(0, entry.expires_in_seconds - since) : null);
    this.entries.forEach((entry, index) => {
      this.shown[index].textContent = !entry.present ? "not there"
        : !entry.refuses ? "there, for older tokens"
          : left[index] === null ? "stands until undone" : `refuses it, gone in ${clock(left[index])}`;
    });
    if (this.bars.length) {
      const entry = left[this.entries.findIndex(({ kind }) => kind === "token")];
      this.bars[0].draw(Math.max(0, (this.expires - Date.now()) / 1000), entry);
      this.bars[1].draw(entry, entry);
    }
  }
}

/** How long something lives, next to something that lives longest. */
class Life {
  constructor(name) {
    this.clock = element("span", { class: "clock mono" });
    this.bar = element("i");
    this.longest = 0;
    this.view = element("div", { class: "life" },
      element("span", {}, name), element("span", { class: "track", "aria-hidden": "true" }, this.bar), this.clock);
  }

  draw(seconds, longest) {
    this.longest = Math.max(this.longest, longest);
    this.bar.style.inlineSize = `${(100 * seconds) / (this.longest || 1)}%`;
    this.clock.textContent = clock(seconds);
  }
}

/** 14:32, 24 h 2 min, or 30 days. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return hours ? `${hours} h ${minutes} min` : `${minutes}:${String(whole % 60).padStart(2, "0")}`;
}
