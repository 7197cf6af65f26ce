// Elements from code, so that no text of a store is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element. A property that starts with "on" is a listener; null and false leave one out. */
export function h(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** Return an element of SVG, likewise. */
export function svg(tag, properties, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return the element of an id. */
export const byId = (id) => document.getElementById(id);

/** Return a small square of a colour. */
export function swatch(color) {
  const square = h("span", { class: "swatch", "aria-hidden": "true" });
  square.style.backgroundColor = color;
  return square;
}

/** Return a bar of a percentage, beside which the number stands as text. */
export function bar(percent, color) {
  const inner = h("span", { class: "bar-inner" });
  inner.style.width = `${Math.max(0, Math.min(100, percent))}%`;
  if (color) inner.style.backgroundColor = color;
  return h("span", { class: "bar", "aria-hidden": "true" }, inner);
}

/** Return a link to another page, or its text where there is no address. */
export function link(address, text) {
  return address ? h("a", { href: address, target: "_blank", rel: "noopener" }, text) : text;
}

/** Keep where the focus is, by the elements' ids, while `draw` makes a part of the page again. */
export function keepingFocus(draw) {
  const id = document.activeElement?.id;
  draw();
  if (id && document.activeElement?.id !== id) byId(id)?.focus({ preventScroll: true });
}
