// Which image: a month's composite, or one acquisition of the list.

import { say } from "./announce.js";
import { isAborted, latest, worded } from "./api.js";
import { byId, h, keepingFocus } from "./dom.js";
import { firstMonth, monthIn, monthsOfSeason } from "./season.js";
import { dated } from "./sides.js";
import { pixelOf } from "./state.js";
import { MONTHS, count, percent } from "./words.js";

/** Start the choice of images. It dispatches "image-hover" with an acquisition's key, or null. */
export function startImagery({ state, catalogue }) {
  const imagery = new Imagery(state, catalogue);
  state.on("year layer acquisition month pixel", () => imagery.draw());
  imagery.draw();
}

class Imagery {
  #ask = latest();
  #listed = { of: "", acquisitions: [] };

  constructor(state, catalogue) {
    Object.assign(this, { state, catalogue });
    addEventListener("image-step", (event) => this.step(event.detail));
  }

  async draw() {
    const { state } = this;
    const { year, layer: id } = state.now;
    const layers = await this.catalogue.of(year).catch(() => new Map());
    const takes = layers.get(id)?.takes ?? [];
    byId("imagery").hidden = !takes.includes("acquisition") && !takes.includes("month");
    if (byId("imagery").hidden) return;
    try {
      await this.#list();
    } catch (error) {
      if (!isAborted(error)) say("acquisitions", worded(error), "problem");
      return;
    }
    say("acquisitions", "");
    if (state.now.year !== year || state.now.layer !== id) return;
    const months = takes.includes("month");
    if (this.#fillIn(months)) return;
    keepingFocus(() => byId("imagery-body").replaceChildren(
      ...(months ? [this.#months()] : []), ...this.#acquisitions()));
    byId("imagery-body").querySelector(".scroll input:checked")?.closest("label")
      .scrollIntoView({ block: "nearest" });
  }

  /** Choose an image where nobody has: a composite of the season's middle, or the best day. */
  #fillIn(months) {
    const { acquisition, month } = this.state.now;
    if (acquisition || (months && month)) return false;
    if (months) this.state.fill({ month: firstMonth() });
    else {
      const best = [...this.#listed.acquisitions].sort((a, b) => worth(b) - worth(a))[0];
      if (!best) return false;
      this.state.fill({ acquisition: best.key });
    }
    return true;
  }

  async #list() {
    const { year } = this.state.now;
    const query = { year, ...pixelOf(this.state.now) };
    const of = JSON.stringify(query);
    if (this.#listed.of === of) return;
    const acquisitions = await this.#ask("api/acquisitions", query);
    this.#listed = { of, acquisitions };
  }

  #months() {
    const { acquisition, month, year } = this.state.now;
    return h("fieldset", { class: "pills" }, h("legend", {}, "Cloud-free composite of a month"),
      monthsOfSeason().map((value) => {
        const name = MONTHS[Number(value) - 1];
        return h("label", { title: monthIn(value, year) }, h("input", {
          type: "radio", name: "image", id: `month-${value}`, value,
          checked: !acquisition && month === value,
          onchange: () => this.state.set({ month: value, acquisition: "" }),
        }), h("span", {}, name));
      }));
  }

  #acquisitions() {
    const { acquisitions } = this.#listed;
    const pixel = this.state.now.pixel;
    if (!acquisitions.length) return [h("p", { class: "hint" }, "No acquisition is stored of this year yet.")];
    return [h("fieldset", { class: "list" },
      h("legend", {}, pixel ? `Acquisitions of this pixel's patch (${acquisitions.length})`
        : `Days with acquisitions (${acquisitions.length})`),
      h("div", { class: "scroll" }, acquisitions.map((one) => this.#acquisition(one))))];
  }

  #acquisition(one) {
    const hover = (key) => () => dispatchEvent(new CustomEvent("image-hover", { detail: key }));
    return h("label", { onpointerenter: hover(one.key), onpointerleave: hover(null) },
      h("input", {
        type: "radio", name: "image", id: `image-${one.key}`, value: one.key,
        checked: this.state.now.acquisition === one.key,
        onchange: () => this.state.set({ acquisition: one.key }),
      }),
      h("span", { class: "date" }, dated(one.time ?? one.key)),
      h("span", { class: "detail" }, detailOf(one)));
  }

  /** Take the image before or after the one that is shown. */
  step(by) {
    const keys = this.#listed.acquisitions.map(({ key }) => key);
    if (!keys.length || byId("imagery").hidden) return;
    const at = keys.indexOf(this.state.now.acquisition);
    const next = at < 0 ? (by > 0 ? 0 : keys.length - 1) : at + by;
    if (keys[next]) {
      this.state.set({ acquisition: keys[next] });
      say("image", dated(keys[next]));
    }
  }
}

function detailOf(one) {
  if (one.patches !== undefined) return count(one.patches, "patch", "patches");
  const clouds = cloudsOf(one);
  const parts = [clouds === null ? null : `${percent(clouds)} cloud`];
  if (one.used === false) parts.push("left out");
  return parts.filter(Boolean).join(", ");
}

/** How good an image is to begin with: many patches, or few clouds. */
const worth = (one) => one.patches ?? -(cloudsOf(one) ?? 100);

/** Percent of clouds over the patch, or of the archive's scene where the patch's are not known. */
const cloudsOf = ({ clouds_share: here, cloud_cover: scene }) =>
  (here === null || here === undefined ? scene ?? null : 100 * here);
