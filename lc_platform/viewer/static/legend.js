// The legend: a table of classes with their areas, by which the map is filtered; a ramp; or a mask.

import { say } from "./announce.js";
import { isAborted, latest, worded } from "./api.js";
import { byId, h, keepingFocus, svg, swatch } from "./dom.js";
import { area as areaOf, number, percent, share } from "./words.js";

const SETTLED = 400; // milliseconds without movement after which areas in view are counted
const LARGEST = 10; // transitions that are listed

/** Start the legend of the left side's layer. */
export function startLegend({ state, catalogue, maps }) {
  const legend = new Legend(state, catalogue, maps);
  state.on("year layer classes from", () => legend.draw());
  catalogue.addEventListener("change", () => legend.drawAgain());
  maps.left.map.on("moveend", () => legend.moved());
  legend.draw();
}

class Legend {
  #ask = latest();
  #areas = { of: "", rows: new Map() };
  #inView = false;
  #timer = 0;

  constructor(state, catalogue, maps) {
    Object.assign(this, { state, catalogue, maps });
  }

  async draw() {
    const { year, layer: id } = this.state.now;
    const layers = await this.catalogue.of(year).catch(() => new Map());
    if (this.state.now.year !== year || this.state.now.layer !== id) return;
    const layer = layers.get(id);
    this.layer = layer;
    byId("legend-title").textContent = layer ? `${layer.title}, ${year}` : "Legend";
    keepingFocus(() => byId("legend").replaceChildren(...this.#parts(layer)));
    if (hasAreas(layer)) this.#count();
    if (layer?.id === "change" && layer.available) this.#transitions();
  }

  /** Draw it of a map that was made again. */
  drawAgain() {
    this.#areas.of = "";
    return this.draw();
  }

  moved() {
    if (!this.#inView || !hasAreas(this.layer)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#count(), SETTLED);
  }

  #parts(layer) {
    if (!layer) return [];
    if (!layer.available) return [h("p", { class: "hint" }, layer.why)];
    const note = layer.note ? [h("p", { class: "hint" }, layer.note)] : [];
    if (layer.kind === "ramp") return [...ramp(layer), ...note];
    if (layer.kind === "image") return [h("p", { class: "hint" }, "Reflectance, the same stretch for all dates."), ...note];
    return [...this.#classes(layer), ...note];
  }

  #classes(layer) {
    const filters = layer.takes.includes("classes");
    const areas = hasAreas(layer);
    const table = h("table", { class: "legend" },
      h("caption", { class: "hidden" }, `Legend of ${layer.title}`),
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Class"),
        areas ? h("th", { scope: "col", class: "figure" }, "Area") : null,
        areas ? h("th", { scope: "col", class: "figure" }, "Share") : null)),
      h("tbody", {}, layer.legend.map((entry) => this.#row(layer, entry, filters, areas))));
    return [
      areas ? this.#extent() : null,
      table,
      areas ? h("p", { class: "hint", id: "areas-note" }) : null,
      areas ? h("div", { id: "estimates" }) : null,
      filters ? h("div", { class: "row" },
        h("button", { type: "button", class: "button small", id: "classes-all", onclick: () => this.#show(null) }, "Show all"),
        h("button", { type: "button", class: "button small", id: "classes-none", onclick: () => this.#show([]) }, "Hide all"))
        : null,
    ].filter(Boolean);
  }

  #row(layer, { value, label, color }, filters, areas) {
    const of = areas ? this.#areas.rows.get(value) : null;
    const name = filters
      ? h("label", {}, h("input", {
        type: "checkbox", id: `class-${value}`, checked: this.#shown(layer).includes(value),
        onchange: (event) => this.#toggle(layer, value, event.target.checked),
      }), swatch(color), h("span", {}, label))
      : h("span", { class: "entry" }, swatch(color), h("span", {}, label));
    return h("tr", { "data-value": value },
      h("th", { scope: "row" }, name),
      areas ? h("td", { class: "figure area" }, areaOf(of?.hectares)) : null,
      areas ? h("td", { class: "figure share" }, share(of?.share, 1)) : null);
  }

  #extent() {
    const option = (inView, text) => h("label", {},
      h("input", {
        type: "radio", name: "extent", id: inView ? "extent-view" : "extent-all",
        checked: this.#inView === inView,
        onchange: () => { this.#inView = inView; this.#count(); },
      }), h("span", {}, text));
    return h("fieldset", { class: "segments" }, h("legend", { class: "hidden" }, "Areas of"),
      option(false, "Whole area"), option(true, "In view"));
  }

  #shown(layer) {
    const { classes } = this.state.now;
    if (classes === "none") return [];
    return classes ? classes.split(",").map(Number) : layer.legend.map(({ value }) => value);
  }

  #toggle(layer, value, is) {
    const before = this.#shown(layer);
    this.#show(is ? [...before, value] : before.filter((one) => one !== value));
  }

  /** Show only some classes; null shows all. */
  #show(values) {
    const all = this.layer.legend.map(({ value }) => value);
    const kept = values === null ? all : all.filter((value) => values.includes(value));
    const classes = kept.length === all.length ? "" : kept.join(",") || "none";
    this.state.set({ classes });
  }

  async #transitions() {
    try {
      const found = await this.#ask("api/transitions", { year: this.state.now.year });
      if (this.layer.id === "change") byId("legend").append(...this.#listed(found));
    } catch (error) {
      if (!isAborted(error)) byId("legend").append(h("p", { class: "hint" }, worded(error)));
    }
  }

  /** Return the transitions, or why there are none of the years that the layer is drawn of. */
  #listed(found) {
    const { from, year } = this.state.now;
    if (found.from_year === null) return [h("p", { class: "hint" }, `Drawn is where the two maps differ. ${found.message}`)];
    if (from && from !== found.from_year) {
      return [h("p", { class: "hint" }, `Drawn is where the maps of ${from} and ${year} differ. Transitions are listed since ${found.from_year}.`)];
    }
    return largest(found);
  }

  async #count() {
    const { year } = this.state.now;
    const bounds = this.maps.left.map.getBounds().toArray().flat();
    const bbox = this.#inView ? bounds.map((x) => x.toFixed(5)).join(",") : null;
    const of = `${year} ${bbox}`;
    if (this.#areas.of !== of) {
      try {
        const rows = await this.#ask("api/areas", { year, bbox });
        this.#areas = { of, rows: new Map(rows.map((row) => [row.class, row])) };
        say("areas", "");
      } catch (error) {
        if (!isAborted(error)) say("areas", worded(error), "problem");
        return;
      }
    }
    for (const row of byId("legend").querySelectorAll("tr[data-value]")) {
      const found = this.#areas.rows.get(Number(row.dataset.value));
      row.querySelector(".area").textContent = areaOf(found?.hectares);
      row.querySelector(".share").textContent = share(found?.share, 1);
    }
    const rows = [...this.#areas.rows.values()];
    byId("areas-note").textContent = [
      rows.some((row) => row.approximate) ? "Counted in the map's overviews" : "Counted pixels",
      rows.some((row) => row.estimate !== null) ? "; with estimates from the sample below." : ".",
    ].join("");
    byId("estimates").replaceChildren(...estimates(rows));
  }
}

/** Return the transitions of most hectares as a table. */
function largest({ from_year: from, year, transitions, changed_hectares: all, changed_percent: part }) {
  const rows = transitions.filter((one) => one.is_change).sort((a, b) => b.hectares - a.hectares);
  return [
    h("p", { class: "hint" }, `${from} to ${year}: ${areaOf(all)} changed, ${percent(part, 1)}.`),
    h("table", { class: "legend" },
      h("caption", { class: "hidden" }, "Largest changes"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From, to"), h("th", { scope: "col", class: "figure" }, "Area"))),
      h("tbody", {}, rows.slice(0, LARGEST).map(({ before, after, hectares }) => h("tr", {},
        h("th", { scope: "row" }, h("span", { class: "entry" }, swatch(before.color ?? "transparent"), `${before.name} → `,
          swatch(after.color ?? "transparent"), after.name)),
        h("td", { class: "figure" }, areaOf(hectares)))))),
  ];
}

const hasAreas = (layer) => layer?.id === "land_cover" && layer.available;

/** Return the areas that people's judgements give, with their 95 % intervals. */
function estimates(rows) {
  const known = rows.filter((row) => row.estimate !== null && row.estimate !== undefined);
  if (!known.length) return [];
  return [h("details", {}, h("summary", {}, "Estimated from the sample"),
    h("table", { class: "legend" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Class"),
        h("th", { scope: "col", class: "figure" }, "Area"), h("th", { scope: "col", class: "figure" }, "95 % interval"))),
      h("tbody", {}, known.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name),
        h("td", { class: "figure" }, areaOf(row.estimate)),
        h("td", { class: "figure" }, `${areaOf(row.low)} – ${areaOf(row.high)}`))))))];
}

/** Return a continuous legend: the colours as a strip, and as a table for who hears the page. */
function ramp(layer) {
  const { min, max, unit, stops } = layer.legend;
  const of = (value) => `${number(value)}${unit ? ` ${unit}` : ""}`;
  const where = (value) => `${(100 * (value - min)) / (max - min)}%`;
  const strip = svg("svg", { class: "ramp", role: "img", "aria-label": `Colours from ${of(min)} to ${of(max)}` },
    svg("defs", {}, svg("linearGradient", { id: "ramp" },
      stops.map(([value, color]) => svg("stop", { offset: where(value), "stop-color": color })))),
    svg("rect", { width: "100%", height: "100%", rx: 3, fill: "url(#ramp)" }));
  return [
    strip,
    h("div", { class: "ramp-ends", "aria-hidden": "true" },
      [min, (min + max) / 2, max].map((value) => h("span", {}, number(value)))),
    unit ? h("p", { class: "ramp-unit hint", "aria-hidden": "true" }, unit) : null,
    h("div", { class: "hidden" }, h("table", {},
      h("caption", {}, `Legend of ${layer.title}`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Value"), h("th", { scope: "col" }, "Colour"))),
      h("tbody", {}, stops.map(([value, color]) => h("tr", {}, h("td", {}, of(value)), h("td", {}, color)))))),
  ].filter(Boolean);
}
