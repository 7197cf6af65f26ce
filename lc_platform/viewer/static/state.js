// What is on the screen, and the link that says it.
//
// The state is a flat record of numbers and strings. The part of the address after "#" holds it:
// #zoom/latitude/longitude&year=2023&layer=land_cover&..., leaving out what is as it is by default.

const DEFAULTS = {
  camera: "", // zoom/latitude/longitude
  year: 0,
  layer: "land_cover",
  opacity: 1,
  classes: "", // the ids that are shown, "none", or "" for all
  acquisition: "", // an acquisition's key, or a day
  month: "",
  from: 0, // the year that a change is counted from
  compare: "", // "", "swipe" or "side"
  swipe: 0.5,
  right_year: 0,
  right_layer: "",
  right_acquisition: "",
  right_month: "",
  patches: "", // the asset whose states colour the grid
  pixel: "", // longitude,latitude
  series: "",
};
/** What leaves no step in the browser's history. */
const PASSING = new Set(["camera", "opacity", "swipe", "series"]);

/** Return the state that a link's fragment says, of some years; what it does not say is as by
 * default, and the year the latest that there is a map of. */
export function parse(fragment, { years, latest_year: latest }) {
  const state = { ...DEFAULTS };
  const [camera, ...rest] = fragment.replace(/^#/, "").split("&");
  if (/^[\d.]+\/-?[\d.]+\/-?[\d.]+$/.test(camera)) state.camera = camera;
  else rest.unshift(camera);
  for (const [name, text] of new URLSearchParams(rest.join("&"))) {
    if (!(name in DEFAULTS) || name === "camera") continue;
    const value = typeof DEFAULTS[name] === "number" ? Number(text) : text;
    if (!Number.isNaN(value)) state[name] = value;
  }
  if (!["", "swipe", "side"].includes(state.compare)) state.compare = "";
  if (!years.includes(state.year)) state.year = latest ?? 0;
  if (!pixelOf(state)) state.pixel = "";
  return state;
}

/** What says nothing while one map is shown. */
const COMPARED = /^(swipe|right_.*)$/;

/** Return the fragment of a state. */
export function format(state) {
  const said = Object.keys(DEFAULTS)
    .filter((name) => name !== "camera" && state[name] !== DEFAULTS[name])
    .filter((name) => state.compare || !COMPARED.test(name))
    .map((name) => `${name}=${encodeURIComponent(state[name]).replaceAll("%2C", ",")}`);
  return `#${[state.camera || null, ...said].filter(Boolean).join("&")}`;
}

/** Return the longitude and latitude of the chosen pixel, or null. */
export function pixelOf(state) {
  const [longitude, latitude, ...more] = state.pixel.split(",").map(Number);
  const fits = more.length === 0 && Math.abs(longitude) <= 360 && Math.abs(latitude) <= 90;
  return state.pixel && fits ? { lon: longitude, lat: latitude } : null;
}

/** The state, kept equal to the address; listeners hear of what they asked for. */
export class State {
  #listeners = [];
  #link = 0;

  /** area  what /api/area says: of which years there is something */
  constructor(area) {
    this.now = parse(location.hash, area);
    addEventListener("popstate", () => this.#take(parse(location.hash, area)));
    addEventListener("pagehide", () => this.#write());
  }

  /** Call `listener(state)` whenever one of the names has changed. */
  on(names, listener) {
    this.#listeners.push({ names: names.split(" "), listener });
  }

  /** Change some of the state. What a person chose becomes a step in the history. */
  set(changes) {
    const step = Object.keys(changes).some(
      (name) => !PASSING.has(name) && changes[name] !== this.now[name]);
    const next = { ...this.now, ...changes };
    if (step) {
      this.#write();
      history.pushState(null, "", format(next));
    } else {
      clearTimeout(this.#link);
      this.#link = setTimeout(() => this.#write(), 250);
    }
    this.#take(next);
  }

  /** Change what only the machine knew how to fill in, without a step in the history. */
  fill(changes) {
    this.#take({ ...this.now, ...changes });
    this.#write();
  }

  #write() {
    clearTimeout(this.#link);
    if (location.hash !== format(this.now)) history.replaceState(null, "", format(this.now));
  }

  #take(next) {
    const before = this.now;
    this.now = next;
    const changed = new Set(Object.keys(next).filter((name) => next[name] !== before[name]));
    for (const { names, listener } of this.#listeners) {
      if (names.some((name) => changed.has(name))) listener(this.now);
    }
  }
}
