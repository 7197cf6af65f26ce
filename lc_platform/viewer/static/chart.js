// The season of a pixel as a curve: an SVG with one mark an observation, told apart by their shapes.

import { svg } from "./dom.js";
import { MONTHS, day, number } from "./words.js";

const HEIGHT = 210;
const MARGIN = { top: 12, right: 12, bottom: 24, left: 44 };
const DAY = 86_400_000; // milliseconds

/** How an observation counts. Each has a shape of its own. */
export const KINDS = {
  used: { text: "used", path: "M-4.5,0a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0z" },
  cloudy: { text: "cloudy", path: "M-4,-4L4,4M-4,4L4,-4" },
  left: { text: "left out", path: "M0,-5.5L5,4H-5z" },
};

/** Return the name in KINDS of an observation. */
export function kindOf(one) {
  if (one.cloud) return "cloudy";
  return one.valid === false || one.used === false ? "left" : "used";
}

/**
 * The chart of one band or index.
 *
 * observations  those of the pixel; without data, or without the value, they are not drawn
 * features      [{date, values}]: what the classifier read
 * name          the band or index
 * onhover, onpick  called with an observation; onhover also with null
 */
export class Chart {
  constructor({ observations, features, name, width, onhover, onpick }) {
    const drawn = observations
      .map((one) => ({ ...one, at: Date.parse(one.time), value: one.values[name], kind: kindOf(one) }))
      .filter((one) => one.data !== false && one.value !== null && one.value !== undefined);
    const read = (features ?? [])
      .map(({ date, values }) => ({ at: Date.parse(date), value: values[name] }))
      .filter(({ value }) => value !== null && value !== undefined);
    Object.assign(this, { drawn, read, name, width, onhover, onpick });
    this.#scales(observations);
    this.element = svg("svg", {
      class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "group",
      "aria-label": `${name} over the season: ${drawn.length} observations. `
        + "Arrow keys go from one to the next, Enter shows its image",
      onkeydown: (event) => this.#key(event),
      onpointermove: (event) => this.#nearest(event, false),
      onpointerleave: () => this.#hover(null),
      onclick: (event) => this.#nearest(event, true),
    }, this.#axes(), this.#curve(), this.#date(), this.#marks());
  }

  #scales(observations) {
    const times = observations.map(({ time }) => Date.parse(time));
    const [first, last] = [Math.min(...times), Math.max(...times)].map((time) => new Date(time));
    this.from = Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), 1);
    this.to = Date.UTC(last.getUTCFullYear(), last.getUTCMonth() + 1, 1);
    const clear = [...this.drawn.filter(({ kind }) => kind === "used"), ...this.read];
    const values = (clear.length ? clear : this.drawn).map(({ value }) => value);
    const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    this.step = niceStep((high - low + 2 * room) / 5);
    this.low = Math.floor((low - room) / this.step) * this.step;
    this.high = Math.ceil((high + room) / this.step) * this.step;
  }

  x(at) {
    const inner = this.width - MARGIN.left - MARGIN.right;
    return MARGIN.left + (inner * (at - this.from)) / (this.to - this.from);
  }

  /** Where a value lies; what is beyond the axis lies at its end. */
  y(value) {
    const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
    const share = Math.max(0, Math.min(1, (value - this.low) / (this.high - this.low)));
    return MARGIN.top + inner * (1 - share);
  }

  #axes() {
    const lines = [];
    const digits = Math.max(0, Math.ceil(-Math.log10(this.step) - 1e-9));
    for (let i = 0; this.low + i * this.step <= this.high + this.step / 2; i += 1) {
      const value = this.low + i * this.step;
      const y = this.y(value);
      lines.push(
        svg("line", { class: "grid", x1: MARGIN.left, x2: this.width - MARGIN.right, y1: y, y2: y }),
        svg("text", { class: "tick", x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, value.toFixed(digits)));
    }
    const wide = (this.width - MARGIN.left) / ((this.to - this.from) / (30 * DAY)) > 26;
    for (let at = new Date(this.from); at < this.to; at = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1))) {
      const x = this.x(at.getTime());
      const middle = this.x(at.getTime() + 15 * DAY);
      const name = MONTHS[at.getUTCMonth()];
      lines.push(
        svg("line", { class: "grid", x1: x, x2: x, y1: HEIGHT - MARGIN.bottom, y2: HEIGHT - MARGIN.bottom + 4 }),
        svg("text", { class: "tick", x: middle, y: HEIGHT - 7, "text-anchor": "middle" }, wide ? name : name[0]));
    }
    return svg("g", { "aria-hidden": "true" }, lines);
  }

  #curve() {
    const points = this.read.map(({ at, value }) => `${this.x(at)},${this.y(value)}`);
    return svg("g", { class: "read", "aria-hidden": "true" },
      svg("polyline", { points: points.join(" ") }),
      this.read.map(({ at, value }) => svg("rect", { x: this.x(at) - 2.5, y: this.y(value) - 2.5, width: 5, height: 5 })));
  }

  #date() {
    const vertical = (name) => svg("line", {
      class: name, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden",
    });
    this.shownLine = vertical("shown-date");
    this.hoverLine = vertical("hover-date");
    return [this.shownLine, this.hoverLine];
  }

  #marks() {
    this.marks = this.drawn.map((one, i) => svg("g", {
      class: `mark ${one.kind}`, role: "button", tabindex: i === 0 ? 0 : -1,
      "aria-label": this.#said(one), transform: `translate(${this.x(one.at)},${this.y(one.value)})`,
      "data-acquisition": one.acquisition,
      onfocus: () => this.#hover(i),
      onblur: () => this.#hover(null),
    }, svg("path", { d: KINDS[one.kind].path })));
    return this.marks;
  }

  #said(one) {
    return `${day(one.time)}: ${this.name} ${number(one.value, 3)}, ${KINDS[one.kind].text}`;
  }

  #nearest(event, pick) {
    const box = this.element.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    const far = this.drawn.map((one) => Math.hypot(this.x(one.at) - at[0], (this.y(one.value) - at[1]) / 3));
    const nearest = far.indexOf(Math.min(...far));
    const found = far[nearest] < 24 ? nearest : null;
    if (pick && found !== null) this.onpick(this.drawn[found]);
    else if (!pick) this.#hover(found);
  }

  #hover(i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.marks.forEach((mark, j) => mark.classList.toggle("hovered", j === i));
    this.#line(this.hoverLine, i === null ? null : this.drawn[i].at);
    this.onhover(i === null ? null : this.drawn[i]);
  }

  #line(line, at) {
    line.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at === null) return;
    line.setAttribute("x1", this.x(at));
    line.setAttribute("x2", this.x(at));
  }

  /** Mark the acquisition, or the day, that another part of the page points at. */
  point(key) {
    const i = this.drawn.findIndex((one) => isOf(one, key));
    this.marks.forEach((mark, j) => mark.classList.toggle("hovered", j === i));
    this.#line(this.hoverLine, i < 0 ? null : this.drawn[i].at);
  }

  /** Mark the date that the map shows: an acquisition's key, a day, or none. */
  show(key) {
    const one = this.drawn.find((other) => isOf(other, key));
    this.marks.forEach((mark, i) => mark.classList.toggle("shown", this.drawn[i] === one));
    this.#line(this.shownLine, one?.at ?? null);
  }

  #key(event) {
    const at = this.marks.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.marks.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.onpick(this.drawn[at]);
    else if (this.marks[to]) {
      this.marks[at].setAttribute("tabindex", -1);
      this.marks[to].setAttribute("tabindex", 0);
      this.marks[to].focus();
    } else return;
    event.preventDefault();
  }
}

/** Whether an observation is of an acquisition, or of a day. */
export function isOf(one, key) {
  return Boolean(key) && (one.acquisition === key || one.time.slice(0, 10) === key);
}

/** Return the nicest step near one: 1, 2 or 5 times a power of ten. */
function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= step);
}
