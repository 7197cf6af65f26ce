// The layers of each year, as the server offers them.

import { get } from "./api.js";

export class Catalogue {
  #years = new Map();
  #known = new Map();

  /** Return a promise of a year's layers by id, asked for once. */
  of(year) {
    if (!this.#years.has(year)) {
      const asked = get("api/layers", { year })
        .then((layers) => new Map(layers.map((layer) => [layer.id, layer])));
      asked.then((layers) => this.#known.set(year, layers), () => this.#years.delete(year));
      this.#years.set(year, asked);
    }
    return this.#years.get(year);
  }

  /** Return a year's layers where they are there already. */
  known(year) {
    return this.#known.get(year);
  }

  /** Forget what was asked, so that what a run has made since is seen. */
  forget() {
    this.#years.clear();
  }
}
