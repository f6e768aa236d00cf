// Making and changing elements. Text only ever goes in as text, so that nothing from a feed can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `attributes` with `on` + name are listeners, `class` and the rest are attributes, null ones are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, as `h`. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Writes text where it differs: reading is cheap, writing lays out. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes (null) an attribute where it differs. */
export function mark(element, name, value) {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** A text and attribute writer that remembers what it wrote: it does not even read the page when nothing changed. */
export class Slot {
  constructor(element) {
    this.element = element;
    this.text = null;
    this.marks = new Map();
  }

  say(text) {
    if (text === this.text) return;
    this.text = text;
    const first = this.element.firstChild;
    if (first !== null && first.nodeType === Node.TEXT_NODE && first === this.element.lastChild) first.data = text;
    else this.element.textContent = text;
  }

  mark(name, value) {
    if (this.marks.get(name) === value) return;
    this.marks.set(name, value);
    if (value === null || value === false) this.element.removeAttribute(name);
    else this.element.setAttribute(name, value === true ? "" : value);
  }
}

/** A table with a caption and head; `rows` hold texts or nodes, the first of each heads its row. */
export function table(caption, heads, rows, attributes = {}) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      attributes,
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map((cell, i) => (i ? h("td", {}, cell) : h("th", { scope: "row" }, cell))))),
      ),
    ),
  );
}
