/**
 * An element with its attributes, and what is in it. Text stays text, whoever wrote it: nothing here makes HTML.
 *
 * @param {string} name the tag
 * @param {Object<string, string|boolean|function>} attributes `true` sets an empty one, `false` leaves it out;
 *   a function under "onclick" and the like listens
 * @param {...(Node|string)} content
 */
export function element(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...content);
  return made;
}
