/** The deny-list as far as it concerns one token, with the lives of its entries running down. */

import { element } from "../element.js";
import { demand } from "./api.js";
import { clock } from "./lives.js";

const LOOK_AGAIN_MS = 5000;

const KINDS = {
  token: "this token", session: "its session", subject: "its user",
  client: "its client", key: "the key that signed it", issuer: "everyone",
};

export class Entries {
  /** @param {HTMLElement} rows the table's body @param {function(number)} counted told how many entries there are */
  constructor(rows, counted) {
    this.rows = rows;
    this.counted = counted;
    this.entries = [];
    setInterval(() => { if (this.token && !document.hidden) this.tick(); }, 1000);
  }

  /** Show what concerns this token, now and from now on. */
  async watch(token) {
    this.token = token;
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
    this.counted(entries.filter(({ present }) => present).length);
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
  }
}
