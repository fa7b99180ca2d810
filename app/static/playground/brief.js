/** A token that lives for some seconds: its death, and that of its entry, are seen. */

import { call, demand } from "./api.js";
import { Lives } from "./lives.js";
import { read } from "./token.js";

const LOOK_MS = 400;

export class Brief {
  /**
   * @param {HTMLElement} lives where the lives are drawn
   * @param {function(string, string)} told the kind of an answer and the answer in words, where it is another one
   * @param {function(boolean)} ended it has expired, and whether it had been revoked
   */
  constructor(lives, told, ended) {
    this.place = lives;
    this.told = told;
    this.ended = ended;
    setInterval(() => { if (this.token && !document.hidden) this.look().catch(() => {}); }, LOOK_MS);
  }

  /** Take a token's place with a new one. @param {string} token who asks for it */
  async fetch(token) {
    this.token = (await demand("/demo/brief", { token, json: {} })).access_token;
    this.expires = read(this.token, "claims").exp * 1000;
    this.isRevoked = false;
    this.entryEnds = null;
    this.lives = new Lives(this.place, ["The token"]);
    await this.look();
  }

  async revoke() {
    await demand("/demo/brief/revoke", { token: this.token, json: {} });
    this.isRevoked = true;
    this.lives = new Lives(this.place, ["The token", "Its entry"]);
    await this.look();
  }

  async look() {
    const { token, isRevoked } = this;
    const answer = await call("/demo/brief", { token });
    if (isRevoked) {
      const { status, body } = await call("/demo/brief/entry", { token });
      if (status === 200) this.entryEnds = body.expires_in_seconds === null ? null : Date.now() + 1000 * body.expires_in_seconds;
    }
    if (token !== this.token || isRevoked !== this.isRevoked) return; // it was about the one before
    const left = Math.max(0, (this.expires - Date.now()) / 1000);
    // A token that is dead may ask for nothing, so its entry has run down with what was seen last.
    const entry = this.entryEnds === null ? null : (this.entryEnds - Date.now()) / 1000;
    this.lives.draw(isRevoked ? [left, entry !== null && entry > 0 ? entry : null] : [left]);
    const isYes = answer.status === 200;
    this.told(isYes ? "ok" : "refused", isYes ? "200" : `${answer.status} ${answer.reason}`);
    if (answer.reason === "expired") {
      this.lives.draw(isRevoked ? [0, null] : [0]);
      this.token = "";
      this.ended(isRevoked);
    }
  }
}
