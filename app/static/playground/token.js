/** A token taken apart, as anyone can who holds it: no key is needed to read. */

export const PARTS = ["header", "claims", "signature"];

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** The JSON object in the header or the claims of a token. */
export function read(token, part) {
  const encoded = token.split(".")[PARTS.indexOf(part)].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
}

/**
 * The token with one other character in one of its parts. In the claims it is one that changes whom the token speaks
 * for, if there is such a character: that is what a forger would want.
 *
 * @returns {{token: string, part: string, at: number, name: ?string}} `at` is the place in the token, `name` whom it
 *   speaks for now, if that is somebody else
 */
export function changed(token, part) {
  const parts = token.split(".");
  const index = PARTS.indexOf(part);
  const start = parts.slice(0, index).join(".").length + (index ? 1 : 0);
  const candidates = part === "claims" ? renamings(token, start, parts[index].length) : [];
  if (candidates.length) return { ...candidates[Math.floor(Math.random() * candidates.length)], part };
  // Not the last one: a few of its bits stand for nothing, and another spelling of the same bytes would be no change.
  const at = start + Math.floor(parts[index].length / 2);
  return { token: replaced(token, at, ALPHABET[(ALPHABET.indexOf(token[at]) + 1) % 64]), part, at };
}

/** Every way to change one character of the claims so that they still can be read, and name somebody else. */
function renamings(token, start, length) {
  const { sub, ...others } = read(token, "claims");
  const found = [];
  for (let at = start; at < start + length; at += 1) {
    for (const character of ALPHABET) {
      if (character === token[at]) continue;
      const other = replaced(token, at, character);
      try {
        const { sub: name, ...rest } = read(other, "claims");
        if (/^[a-z]+$/.test(name) && name !== sub && JSON.stringify(rest) === JSON.stringify(others)) {
          found.push({ token: other, at, name });
        }
      } catch {
        // No text, or no JSON any more.
      }
    }
  }
  return found;
}

function replaced(text, at, character) {
  return text.slice(0, at) + character + text.slice(at + 1);
}
