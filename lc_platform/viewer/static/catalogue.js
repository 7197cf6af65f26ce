// The layers of each year, as the server offers them.

import { get } from "./api.js";

/** It dispatches "change" when a year's layers are other ones than before, and "maps" when there is
 * a map of another year. */
export class Catalogue extends EventTarget {
  #years = new Map();
  #known = new Map();
  #area;

  /** area  what /api/area says; which years there is a map of is kept as it is now */
  constructor(area) {
    super();
    this.#area = area;
  }

  /** Return a promise of a year's layers by id, asked for once. */
  of(year) {
    if (!this.#years.has(year)) {
      const asked = this.#ask(year);
      asked.catch(() => this.#years.delete(year));
      this.#years.set(year, asked);
    }
    return this.#years.get(year);
  }

  /** Ask again for the layers of years that are known, so that what a run has made is seen. */
  async refresh() {
    await Promise.all([this.#refreshLayers(), this.#refreshMaps()]);
  }

  async #refreshMaps() {
    const { maps } = await get("api/area").catch(() => this.#area);
    if (String(maps) === String(this.#area.maps)) return;
    this.#area.maps = maps;
    this.dispatchEvent(new Event("maps"));
  }

  async #refreshLayers() {
    for (const year of [...this.#known.keys()]) {
      const before = this.#known.get(year);
      const asked = this.#ask(year);
      try {
        await asked;
      } catch {
        continue; // what was known is shown on; a tile that fails says what is wrong
      }
      if (this.#known.get(year) === before) continue;
      this.#years.set(year, asked);
      this.dispatchEvent(new Event("change"));
    }
  }

  async #ask(year) {
    const layers = await get("api/layers", { year });
    this.#known.set(year, JSON.stringify(layers));
    return new Map(layers.map((layer) => [layer.id, layer]));
  }
}
