// One or two maps: alone, with a swipe, or side by side; and what each of them draws.

import { say } from "./announce.js";
import { tilesOf, worded } from "./api.js";
import { byId, h, keepingFocus } from "./dom.js";
import { MapView } from "./map.js";
import { firstMonth, monthsOfSeason } from "./season.js";
import { lacksImage, nameOn, sideOf, titleOf } from "./sides.js";
import { MONTHS } from "./words.js";

const DRAWN = "year layer opacity classes acquisition month from compare right_year right_layer "
  + "right_acquisition right_month";
const MODES = { "": "One map", swipe: "Swipe", side: "Side by side" };

/** Start the maps and return them. */
export function startCompare({ area, state, catalogue }) {
  const maps = new Maps(area, state, catalogue);
  state.on(DRAWN, () => maps.draw());
  catalogue.addEventListener("change", () => maps.draw());
  state.on("camera", () => maps.each((view) => { view.camera = state.now.camera; }));
  state.on("compare", () => maps.arrange());
  state.on("swipe", () => maps.placeDivider());
  state.on("compare right_year right_layer right_month year layer", () => drawChoice(area, state, catalogue));
  startDivider(state);
  maps.arrange();
  maps.draw();
  drawChoice(area, state, catalogue);
  return maps;
}

class Maps {
  #applied = [];

  constructor(area, state, catalogue) {
    Object.assign(this, { area, state, catalogue, right: null });
    this.left = this.#make("left");
    addEventListener("resize", () => this.fit());
  }

  /** Do something with each map there is, and with the second one when it comes. */
  each(act) {
    for (const view of [this.left, this.right]) if (view) act(view);
  }

  /** Like `each`, and what was applied last under a name is applied to a map that comes later. */
  apply(name, act) {
    this.#applied = [...this.#applied.filter((one) => one.name !== name), { name, act }];
    this.each(act);
  }

  setTheme(name) {
    this.apply("theme", (view) => view.setTheme(name));
  }

  #make(side) {
    const { area, state } = this;
    const view = new MapView(byId(side), {
      area,
      label: `${side === "left" ? "Map" : "Second map"}. Arrow keys move, plus and minus zoom, `
        + "Enter reads the pixel in the middle",
      camera: side === "left" ? state.now.camera : this.left.camera,
      padding: this.#padding(),
    });
    view.map.on("move", () => {
      if (this.moving) return;
      this.moving = true;
      this.each((other) => { if (other !== view) other.camera = view.camera; });
      this.moving = false;
    });
    view.map.on("moveend", (event) => {
      if (!this.moving && (event.originalEvent || view === this.left)) {
        state.set({ camera: view.camera });
      }
    });
    view.map.on("click", ({ lngLat }) => {
      if (within(area.bounds, lngLat)) state.set({ pixel: textOf(lngLat) });
    });
    const loading = (is) => () => {
      byId(side).setAttribute("aria-busy", String(is));
      say(`tiles ${side}`, is ? "Loading the map …" : "", "busy");
    };
    view.map.on("dataloading", loading(true));
    view.map.on("idle", loading(false));
    view.map.getCanvas().dataset.side = side;
    view.onoutdated = () => this.catalogue.refresh();
    view.onfar = (is) => say(`far ${side}`, is ? "This layer is drawn further in. Zoom in to see it" : "", "problem");
    view.onproblem = (words) => say(`problem ${side}`, `The map could not be loaded: ${words}`, "problem");
    return view;
  }

  /** Put the maps and the divider where the state has them. */
  arrange() {
    const { compare } = this.state.now;
    byId("maps").dataset.compare = compare;
    byId("divider").hidden = compare !== "swipe";
    this.placeDivider();
    byId("right").hidden = byId("right-title").hidden = !compare;
    document.body.toggleAttribute("data-compare", Boolean(compare));
    if (compare && !this.right) {
      this.right = this.#make("right");
      for (const { act } of this.#applied) act(this.right);
    } else if (!compare && this.right) {
      this.right.close();
      this.right = null;
      for (const about of ["tiles", "problem", "missing", "far"]) say(`${about} right`, "");
    }
    this.fit();
  }

  /** Put the divider of the swipe where the state has it. */
  placeDivider() {
    const percent = Math.round(this.state.now.swipe * 1000) / 10;
    byId("maps").style.setProperty("--swipe", `${percent}%`);
    byId("divider").setAttribute("aria-valuenow", String(Math.round(percent)));
  }

  /** Fit the maps to the room that the panels leave. */
  fit() {
    const padding = this.#padding();
    this.each((view) => {
      view.map.resize();
      view.setPadding(padding);
    });
  }

  #padding() {
    const none = { top: 0, right: 0, bottom: 0, left: 0 };
    const docked = this.state.now.compare;
    const map = byId("maps").getBoundingClientRect();
    if (docked) return none;
    for (const id of ["panel", "story"]) {
      const box = byId(id).getBoundingClientRect();
      if (box.width === 0) continue;
      const wide = box.width > 0.6 * map.width;
      if (wide) none.bottom = Math.max(none.bottom, map.bottom - box.top);
      else if (id === "panel") none.left = box.right - map.left;
      else none.right = map.right - box.left;
    }
    return none;
  }

  /** Draw what the state asks for. */
  async draw() {
    await Promise.all(["left", "right"].map((side) => this[side] && this.#drawSide(side)));
  }

  async #drawSide(side) {
    const { state, catalogue } = this;
    const view = this[side];
    const chosen = sideOf(state.now, side);
    const title = byId(`${side}-title`);
    try {
      const layers = await catalogue.of(chosen.year);
      if (view.closed) return;
      const layer = layers.get(chosen.layer);
      title.textContent = titleOf(chosen, layer);
      say(`problem ${side}`, "");
      if (!layer?.available) {
        say(`missing ${side}`, layer?.why ?? `There is no layer ${chosen.layer}.`, "problem");
        await view.show([]);
        return;
      }
      say(`missing ${side}`, "");
      if (lacksImage(chosen, layer)) return;
      view.setOpacity(state.now.opacity);
      // Clouds are seen on what they cover.
      const shown = layer.id === "clouds" ? [layers.get("true_color"), layer] : [layer];
      await view.show(shown.filter((one) => one?.available).map((one) => ({
        url: tilesOf(one, chosen),
        minZoom: one.min_zoom,
        maxZoom: one.max_zoom,
        smooth: one.kind === "image",
      })), state.now.opacity);
    } catch (error) {
      say(`problem ${side}`, worded(error), "problem");
    }
  }

  /** The pixel at the middle of what is seen, for those who use the keyboard. */
  middle() {
    return textOf(this.left.map.getCenter());
  }
}

/** Return a place as the state has it, its longitude between -180 and 180. */
const textOf = ({ lng, lat }) => `${(((((lng + 180) % 360) + 360) % 360) - 180).toFixed(6)},${lat.toFixed(6)}`;

/** Whether a place lies in bounds, whose east may be beyond 180. */
function within(bounds, { lng, lat }) {
  if (!bounds) return false;
  const [west, south, east, north] = bounds;
  return lat >= south && lat <= north && [lng - 360, lng, lng + 360].some((one) => one >= west && one <= east);
}

function startDivider(state) {
  const divider = byId("divider");
  const set = (swipe) => state.set({ swipe: Math.round(Math.max(0, Math.min(1, swipe)) * 1000) / 1000 });
  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    event.preventDefault();
    divider.focus();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = byId("maps").getBoundingClientRect();
    set((event.clientX - box.left) / box.width);
  });
  divider.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    set(state.now.swipe + steps[event.key]);
  });
}

async function drawChoice(area, state, catalogue) {
  const chosen = sideOf(state.now, "right");
  const layers = await catalogue.of(chosen.year).catch(() => new Map());
  const select = (name, value, options, label) => h("label", { class: "row" }, h("span", {}, label),
    h("select", {
      id: `compare-${name}`,
      onchange: (event) => state.set({ [nameOn("right", name)]: convert(name, event.target.value) }),
    }, options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text))));
  const takes = new Set(layers.get(chosen.layer)?.takes ?? []);
  const inner = [
    h("fieldset", { class: "segments" }, h("legend", { class: "hidden" }, "How to compare"),
      Object.entries(MODES).map(([mode, text]) => h("label", {},
        h("input", {
          type: "radio", name: "compare", value: mode, id: `compare-${mode || "off"}`,
          checked: state.now.compare === mode,
          onchange: () => state.set({ compare: mode, ...firstRight(state.now, area) }),
        }), h("span", {}, text)))),
  ];
  if (state.now.compare) {
    inner.push(
      h("p", { class: "hint" }, "On the right:"),
      select("year", chosen.year, area.years.map((year) => [year, year]), "Year"),
      select("layer", chosen.layer,
        [...layers.values()].filter((layer) => layer.available).map(({ id, title }) => [id, title]), "Layer"));
    if (takes.has("month")) {
      inner.push(select("month", chosen.month,
        monthsOfSeason().map((month) => [month, MONTHS[Number(month) - 1]]), "Month"));
    }
  }
  keepingFocus(() => byId("compare").replaceChildren(...inner));
}

const convert = (name, value) => (name === "year" ? Number(value) : value);

/** Return what the right side shows first: the year before, or another look at the same one. */
function firstRight(state, area) {
  if (state.right_layer) return {};
  const earlier = area.years.filter((year) => year < state.year).at(-1);
  return earlier
    ? { right_year: earlier, right_layer: state.layer, right_month: state.month || firstMonth() }
    : {
      right_year: state.year,
      right_layer: state.layer === "land_cover" ? "true_color" : "land_cover",
      right_month: state.month || firstMonth(),
    };
}
