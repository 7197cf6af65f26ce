// A pixel's story: the panel that a click on the map opens.

import { say } from "./announce.js";
import { address, getText, isAborted, latest, worded } from "./api.js";
import { Chart, KINDS } from "./chart.js";
import { byId, h, keepingFocus, svg } from "./dom.js";
import { IMAGES, dated } from "./sides.js";
import { pixelOf } from "./state.js";
import { observationsTable, probabilities, provenance, verdict } from "./story.js";
import { day, number } from "./words.js";

/** Start the panel. */
export function startPixel({ area, state, maps, patches }) {
  const panel = new PixelPanel(area, state, maps, patches);
  state.on("pixel year", () => panel.read());
  state.on("series", () => panel.readSeries());
  state.on("acquisition layer", () => panel.showDate());
  addEventListener("image-hover", (event) => panel.chart?.point(event.detail));
  addEventListener("resize", () => panel.drawChart());
  startKeys(state, maps, panel);
  panel.read();
}

class PixelPanel {
  #ask = latest();
  #askSeries = latest();

  constructor(area, state, maps, patches) {
    Object.assign(this, { area, state, maps, patches, element: byId("story"), story: null, chart: null });
  }

  /** Read the pixel of the state, or close the panel where there is none. */
  async read() {
    const pixel = pixelOf(this.state.now);
    this.#open(pixel !== null);
    if (!pixel) {
      this.story = this.chart = null;
      this.element.replaceChildren();
      this.maps.apply("pixel", (view) => view.setPixel(null));
      say("pixel", "");
      return;
    }
    this.element.setAttribute("aria-busy", "true");
    say("pixel", "Reading the pixel …", "busy");
    try {
      this.story = await this.#ask("api/pixel", this.#query());
      if (!this.story.patch) {
        this.#nowhere(this.story.message);
        return;
      }
    } catch (error) {
      if (isAborted(error)) return;
      this.story = this.chart = null;
      this.#failed(worded(error));
      return;
    }
    this.maps.apply("pixel", (view) => view.setPixel(this.story.outline));
    this.#draw();
    say("pixel", `${this.story.map?.name ?? "No class"}, ${this.state.now.year}, patch ${this.story.patch}`);
  }

  /** The pixel and its year, with the one band or index that is shown first: the others are asked for when chosen. */
  #query() {
    const { indices } = this.area;
    const first = indices.includes("NDVI") ? "NDVI" : indices[0];
    const { year, series } = this.state.now;
    return { ...pixelOf(this.state.now), year, series: series || first };
  }

  /** Draw the chart of the state's band or index, which is asked for where it was not shown yet. */
  async readSeries() {
    const { story } = this;
    if (!story?.observations?.length) return;
    const { series } = this.state.now;
    if (story.series.includes(series) && !(series in story.observations[0].values)) {
      say("pixel", `Reading ${series} …`, "busy");
      try {
        const found = await this.#askSeries("api/pixel", this.#query());
        if (this.story !== story) return;
        const values = new Map(found.observations.map((one) => [one.acquisition, one.values]));
        for (const one of story.observations) Object.assign(one.values, values.get(one.acquisition));
      } catch (error) {
        if (isAborted(error)) return;
        say("pixel", worded(error), "problem");
        return;
      }
      say("pixel", `${series} of the season`);
    }
    this.drawChart();
  }

  #open(is) {
    if (this.element.hidden === !is) return;
    this.element.hidden = !is;
    document.body.toggleAttribute("data-story", is);
    this.maps.fit();
  }

  /** Say that the place lies in no patch. */
  #nowhere(words) {
    this.story = this.chart = null;
    this.element.removeAttribute("aria-busy");
    this.maps.apply("pixel", (view) => view.setPixel(null));
    this.element.replaceChildren(this.#head(), h("p", {}, words));
    say("pixel", words);
  }

  #failed(words) {
    this.element.removeAttribute("aria-busy");
    this.maps.apply("pixel", (view) => view.setPixel(null));
    this.element.replaceChildren(this.#head(), h("p", { class: "notice" }, words));
    say("pixel", words, "problem");
  }

  #head() {
    return h("header", {}, h("h2", {}, `Pixel, ${this.state.now.year}`),
      h("button", {
        type: "button", id: "story-close", class: "button icon", "aria-label": "Close the pixel", title: "Close",
        onclick: () => this.close(),
      }, "×"));
  }

  #draw() {
    const { story } = this;
    const about = this.patches?.about(story.patch);
    keepingFocus(() => this.element.replaceChildren(...[
      this.#head(),
      ...verdict(story),
      this.#season(),
      probabilities(story),
      ...provenance(story, about),
      this.#copies(),
    ].flat().filter(Boolean)));
    this.element.removeAttribute("aria-busy");
    this.readSeries(); // which may have changed while the pixel was read
  }

  #season() {
    const { observations, series: names } = this.story;
    if (!observations?.length) return [];
    const indices = this.area.indices.filter((name) => names.includes(name));
    const bands = names.filter((name) => !indices.includes(name));
    const options = (group, members) => (members.length
      ? h("optgroup", { label: group }, members.map((name) => h("option", { value: name }, name))) : null);
    return [
      h("div", { class: "row season" }, h("label", { for: "series" }, h("h3", {}, "Season")),
        h("select", { id: "series", onchange: (event) => this.state.set({ series: event.target.value }) },
          options("Indices", indices), options("Bands", bands))),
      h("div", { id: "chart" }),
      h("p", { id: "chart-reading", class: "hint" }),
      h("div", { id: "chart-table" }),
    ];
  }

  /** Draw the chart of the state's band or index. */
  drawChart() {
    const into = byId("chart");
    if (!this.story || !into || this.element.hidden) return;
    const told = Object.keys(this.story.observations[0].values);
    const name = told.includes(this.state.now.series) ? this.state.now.series : told[0];
    byId("series").value = name;
    const pick = (one) => this.#pick(one);
    this.chart = new Chart({
      observations: this.story.observations, features: this.story.features, name,
      width: Math.max(240, into.clientWidth), onhover: (one) => this.#hovered(one), onpick: pick,
    });
    into.replaceChildren(this.chart.element, chartLegend(this.story.features, this.chart));
    const open = byId("chart-table").querySelector("details")?.open;
    const table = observationsTable(this.story, name, pick);
    table.open = Boolean(open);
    byId("chart-table").replaceChildren(table, ...undatedFeatures(this.story.undated_features));
    this.showDate();
  }

  /** Mark the map's date in the chart. */
  showDate() {
    this.chart?.show(this.#shownDate());
    this.#hovered(null);
  }

  #shownDate() {
    return IMAGES.has(this.state.now.layer) ? this.state.now.acquisition : "";
  }

  #hovered(one) {
    const reading = byId("chart-reading");
    if (!reading) return;
    const shown = this.#shownDate();
    if (one) reading.textContent = `${day(one.time)} · ${this.chart.name} ${number(one.value, 3)} · ${KINDS[one.kind].text}`;
    else if (shown) reading.textContent = `The map shows ${dated(shown)}.`;
    else reading.textContent = "Point at an observation to read it, click it to see its image.";
  }

  #pick(one) {
    this.state.set({
      acquisition: one.acquisition,
      layer: IMAGES.has(this.state.now.layer) ? this.state.now.layer : "true_color",
    });
    say("image", `The map shows ${day(one.time)}`);
  }

  #copies() {
    const query = { ...pixelOf(this.state.now), year: this.state.now.year };
    const copy = (id, text, words, what) => h("button", {
      type: "button", class: "button small", id,
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(await what());
          say("copy", words);
        } catch (error) {
          say("copy", `Nothing was copied: ${error.message}`, "failure");
        }
      },
    }, text);
    return h("div", { class: "row copies" },
      copy("copy-csv", "Copy as CSV", "The observations are copied as CSV.",
        () => getText("api/pixel.csv", query)),
      h("a", { class: "button small", download: "", href: address("api/pixel.csv", query) }, "Download CSV"),
      copy("copy-pixel-link", "Copy link", "The link to this pixel is copied.", () => location.href));
  }

  /** Close the panel, and give the focus back to the map. */
  close() {
    this.state.set({ pixel: "" });
    this.maps.left.map.getCanvas().focus();
  }

  /** Read the pixel some columns and rows away. */
  neighbour(columns, rows) {
    if (!this.story?.outline) return;
    const [ring] = this.story.outline.coordinates;
    const size = (i) => Math.max(...ring.map((point) => point[i])) - Math.min(...ring.map((point) => point[i]));
    const lon = this.story.lon + columns * size(0) * 0.95;
    const lat = this.story.lat + rows * size(1) * 0.95;
    this.state.set({ pixel: `${lon.toFixed(6)},${lat.toFixed(6)}` });
    if (!this.maps.left.map.getBounds().contains([lon, lat])) this.maps.left.go({ lon, lat });
  }
}

function chartLegend(features, { drawn, read }) {
  const sample = (kind) => svg("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" },
    svg("g", { class: `mark ${kind}` }, svg("path", { d: KINDS[kind].path })));
  const entries = Object.keys(KINDS).map((kind) => [sample(kind),
    `${KINDS[kind].text} (${drawn.filter((one) => one.kind === kind).length})`]);
  if (read.length) {
    entries.push([svg("svg", { width: 20, height: 14, viewBox: "0 0 20 14", "aria-hidden": "true" },
      svg("g", { class: "read" }, svg("polyline", { points: "0,7 20,7" }), svg("rect", { x: 7.5, y: 4.5, width: 5, height: 5 }))),
    "read by the classifier"]);
  }
  return h("ul", { class: "chart-legend" }, entries.map((entry) => h("li", {}, entry)));
}

/** What the classifier read beside the series: measures of the season. */
function undatedFeatures(features) {
  const entries = Object.entries(features ?? {});
  if (!entries.length) return [];
  return [h("details", {}, h("summary", {}, `Measures of the season (${entries.length})`),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Feature"), h("th", { scope: "col" }, "Value"))),
      h("tbody", {}, entries.map(([name, value]) => h("tr", {},
        h("th", { scope: "row" }, name), h("td", {}, value === null ? "missing" : number(value, 3)))))))];
}

/** The keys that the map answers to beside MapLibre's own, while it has the focus. */
function startKeys(state, maps, panel) {
  byId("maps").addEventListener("keydown", (event) => {
    if (!event.target.matches("canvas")) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key === "Enter") state.set({ pixel: maps.middle() });
    else if (event.key === "Escape" && state.now.pixel) panel.close();
    else if (event.key === "[" || event.key === "]") {
      dispatchEvent(new CustomEvent("image-step", { detail: event.key === "]" ? 1 : -1 }));
    } else if (event.shiftKey && steps[event.key]) panel.neighbour(...steps[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
}
