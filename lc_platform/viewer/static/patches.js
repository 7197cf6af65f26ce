// The patch grid, coloured by the state of an asset, looked at again every few seconds.

import { say } from "./announce.js";
import { get, isAborted, latest, worded } from "./api.js";
import { byId, h, keepingFocus, link, swatch } from "./dom.js";
import { STATES } from "./map.js";
import { count, number } from "./words.js";

const LOOK_AGAIN = 10_000; // milliseconds
const LISTED = 20; // failed and stale patches that are named

/** Start the grid of patches, and return it. */
export function startPatches({ area, state, catalogue, maps }) {
  const patches = new Patches(area, state, catalogue, maps);
  state.on("patches year", () => patches.change());
  patches.change();
  const look = () => document.hidden || patches.look();
  setInterval(look, LOOK_AGAIN);
  document.addEventListener("visibilitychange", look);
  return patches;
}

class Patches {
  #ask = latest();
  #grid = null;
  #answer = null;

  constructor(area, state, catalogue, maps) {
    Object.assign(this, { area, state, catalogue, maps });
    maps.left.map.on("mousemove", "patches-fill", ({ features }) => this.#read(features[0].id));
    maps.left.map.on("mouseleave", "patches-fill", () => this.#read(null));
  }

  /** Show another asset or year. */
  async change() {
    this.#answer = null;
    if (!this.state.now.patches) {
      this.maps.apply("states", () => {});
      this.maps.apply("grid", (view) => view.setGrid(null));
    }
    this.#draw();
    await this.look();
  }

  /** Ask for the states, and show what has changed. */
  async look() {
    const { patches: asset, year } = this.state.now;
    if (!asset) return;
    try {
      const answer = await this.#ask("api/states", { asset, year });
      if (this.#grid?.order !== answer.order) await this.#layGrid();
      if (asset !== this.state.now.patches || year !== this.state.now.year) return;
      const before = this.#answer;
      this.#answer = answer;
      say("states", "");
      if (before?.states !== answer.states) this.#show(before, answer);
    } catch (error) {
      if (!isAborted(error)) say("states", `The states of ${asset}: ${worded(error)}`, "problem");
    }
  }

  async #layGrid() {
    const grid = await get("api/patches");
    this.#grid = grid;
    this.maps.apply("states", () => {});
    this.maps.apply("grid", (view) => view.setGrid(grid));
  }

  #show(before, { asset, states, counts }) {
    const grid = this.#grid;
    if (!before) this.maps.apply("grid", (view) => view.setGrid(grid));
    this.maps.apply("states", (view) => view.setStates(states, grid));
    this.#draw();
    if (!before) return;
    const changed = Object.entries(counts).filter(([name, n]) => n !== (before.counts[name] ?? 0));
    say("changed", `${asset}: ${changed.map(([name, n]) => `${n} ${name}`).join(", ")}`);
    this.catalogue.refresh();
  }

  #draw() {
    const { patches: asset } = this.state.now;
    const inner = [h("label", { class: "row" }, h("span", {}, "Coloured by"),
      h("select", { id: "patches-asset", onchange: (event) => this.state.set({ patches: event.target.value }) },
        h("option", { value: "" }, "not shown"),
        this.area.assets.map((name) => h("option", { value: name, selected: name === asset }, name))))];
    if (asset) inner.push(...(this.#answer ? this.#table() : [h("p", { class: "hint" }, "Asking for the states …")]));
    keepingFocus(() => byId("patches").replaceChildren(...inner));
  }

  #table() {
    const { asset, counts, why, message } = this.#answer;
    const rows = Object.values(STATES).map(({ name, color, mark }) => h("tr", {},
      h("th", { scope: "row" }, h("span", { class: "entry" }, swatch(color), h("span", {}, mark ? `${name} ${mark}` : name))),
      h("td", { class: "figure" }, number(counts[name] ?? 0))));
    const keys = this.#grid.features.map(({ properties }) => properties.key);
    const named = [...this.#answer.states]
      .map((letter, id) => ({ letter, id, key: keys[id] }))
      .filter(({ letter }) => letter === "f" || letter === "s")
      .sort((a, b) => a.letter.localeCompare(b.letter));
    return [
      message ? h("p", { class: "notice" }, message) : null,
      h("table", { class: "legend", id: "states" },
        h("caption", { class: "hidden" }, `States of ${asset}`),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "State"), h("th", { scope: "col", class: "figure" }, "Patches"))),
        h("tbody", {}, rows)),
      ...(named.length ? [h("ul", { class: "named" }, named.slice(0, LISTED).map((one) => this.#named(one, why)))] : []),
      ...(named.length > LISTED ? [h("p", { class: "hint" }, `and ${count(named.length - LISTED, "patch", "patches")} more`)] : []),
    ].filter(Boolean);
  }

  #named({ letter, id, key }, why) {
    return h("li", {},
      h("button", {
        type: "button", class: "as-link", id: `go-${key}`,
        onclick: () => this.maps.left.go({ bounds: boundsOf(this.#grid.features[id].geometry) }),
      }, key), ` ${STATES[letter].name}`,
      why[key] ? h("span", { class: "hint" }, `: ${why[key]}`) : null,
      this.#inDagster(key) ? [" ", link(this.#inDagster(key), "Dagster")] : null);
  }

  /** Return the address of a patch's partition in Dagster's UI, or null where there is none. */
  #inDagster(key) {
    const { partition, key: pattern } = this.#answer.links;
    return partition?.replace("{partition}", encodeURIComponent(pattern.replace("{patch}", key))) ?? null;
  }

  /** Return in words how a patch is: its asset's state, why, and where Dagster shows it. */
  about(key) {
    const id = this.#grid?.features.findIndex(({ properties }) => properties.key === key) ?? -1;
    if (id < 0 || !this.#answer) return null;
    const { asset, states, why } = this.#answer;
    return { asset, state: STATES[states[id]].name, why: why[key], link: this.#inDagster(key) };
  }

  #read(id) {
    const key = id === null ? null : this.#grid?.features[id]?.properties.key;
    const about = key && this.about(key);
    dispatchEvent(new CustomEvent("patch-hover", {
      detail: about ? `${key} · ${about.asset} ${about.state}` : key,
    }));
  }
}

/** Return the bounds of a patch, beyond 180 degrees where it is cut there. */
function boundsOf({ type, coordinates }) {
  const points = coordinates.flat(type === "Polygon" ? 1 : 2)
    .map(([lon, lat]) => [type === "MultiPolygon" && lon < 0 ? lon + 360 : lon, lat]);
  const of = (i, extreme) => extreme(...points.map((point) => point[i]));
  return [[of(0, Math.min), of(1, Math.min)], [of(0, Math.max), of(1, Math.max)]];
}
