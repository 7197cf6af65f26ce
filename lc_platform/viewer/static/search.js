// Search: a combobox of patches, places and acquisitions.

import { say } from "./announce.js";
import { isAborted, latest, worded } from "./api.js";
import { byId, h } from "./dom.js";
import { IMAGES } from "./sides.js";

const SETTLED = 200; // milliseconds without a key

/** Start the search. */
export function startSearch({ state, maps }) {
  const search = new Search(state, maps);
  const input = byId("search-text");
  input.addEventListener("input", () => search.typed());
  input.addEventListener("keydown", (event) => search.key(event));
  input.addEventListener("blur", () => setTimeout(() => search.close(), 150));
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search.enter();
  });
}

class Search {
  #ask = latest();
  #timer = 0;
  #found = [];
  #at = -1;

  constructor(state, maps) {
    Object.assign(this, { state, maps, input: byId("search-text"), list: byId("search-results") });
  }

  typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), SETTLED);
  }

  async look() {
    clearTimeout(this.#timer);
    const q = this.input.value.trim();
    if (!q) {
      this.close();
      return;
    }
    try {
      this.#found = await this.#ask("api/search", { q });
    } catch (error) {
      if (isAborted(error)) return;
      this.close();
      say("search", worded(error), "failure");
      return;
    }
    say("search", this.#found.length ? `${this.#found.length} found` : `Nothing is found for “${q}”`);
    this.#show(-1);
  }

  #show(at) {
    this.#at = at;
    this.list.replaceChildren(...this.#found.map((one, i) => h("li", {
      id: `found-${i}`, role: "option", "aria-selected": String(i === at),
      onpointerdown: (event) => { event.preventDefault(); this.take(one); },
    }, h("span", {}, one.title), h("span", { class: "detail" }, one.kind))));
    this.list.hidden = !this.#found.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    if (at >= 0) this.input.setAttribute("aria-activedescendant", `found-${at}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.list.children[at]?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    const n = this.#found.length;
    if (event.key === "Escape") this.close();
    else if (n && event.key === "ArrowDown") this.#show((this.#at + 1) % n);
    else if (n && event.key === "ArrowUp") this.#show(this.#at <= 0 ? n - 1 : this.#at - 1);
    else return;
    event.preventDefault();
  }

  async enter() {
    if (this.list.hidden || this.#at < 0) await this.look();
    const one = this.#found[Math.max(0, this.#at)];
    if (one) this.take(one);
  }

  close() {
    this.#found = [];
    this.#show(-1);
  }

  /** Go where something was found, and show what it is: a pixel, or an image. */
  take({ kind, title, lon, lat, bounds, patch, acquisition, year }) {
    this.close();
    this.input.value = title;
    const [west, south, east, north] = bounds;
    this.maps.left.go({ bounds: [[west, south], [east, north]] });
    if (kind === "acquisition") {
      const { layer } = this.state.now;
      this.state.set({ acquisition, year, layer: IMAGES.has(layer) ? layer : "true_color" });
    } else if (kind === "place" && patch) {
      this.state.set({ pixel: `${lon.toFixed(6)},${lat.toFixed(6)}` });
    } else if (kind === "place") say("search", "This place lies in no patch", "failure");
  }
}
