/** How long things live, drawn beside each other on one scale. */

import { element } from "../element.js";

export class Lives {
  /** @param {HTMLElement} place @param {Array<string>} names what lives */
  constructor(place, names) {
    this.longest = 0;
    this.bars = names.map((name) => {
      const [bar, left] = [element("i"), element("span", { class: "clock mono" })];
      const view = element("div", { class: "life" },
        element("span", {}, name), element("span", { class: "track", "aria-hidden": "true" }, bar), left);
      return { bar, left, view };
    });
    place.replaceChildren(...this.bars.map(({ view }) => view));
  }

  /** @param {Array<?number>} seconds what each has left; null where it is not there */
  draw(seconds) {
    this.longest = Math.max(this.longest, ...seconds.map((one) => one ?? 0));
    seconds.forEach((left, index) => {
      const life = this.bars[index];
      life.bar.style.inlineSize = `${(100 * (left ?? 0)) / (this.longest || 1)}%`;
      life.left.textContent = left === null ? "not there" : clock(left);
    });
  }
}

/** 14:32, 24 h 2 min, or 30 days. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  return hours ? `${hours} h ${minutes} min` : `${minutes}:${String(whole % 60).padStart(2, "0")}`;
}
