// What there is to see of a point: images through the season, the neighbourhood, the series.

import { say } from "./announce.js";
import { address, get, tilesOf } from "./api.js";
import { Chart, KINDS, isOf, kindOf } from "./chart.js";
import { byId, h, svg, swatch } from "./dom.js";
import { MapView } from "./map.js";
import { theme } from "./theme.js";
import { day, number } from "./words.js";

const CHIPS = 12;
const METERS = 320;
const PIXELS = 192;
const NEAR = 16.2; // zoom at which a pixel of 10 m is a dozen pixels of the screen
const LATER = 400; // milliseconds until the next point's images are fetched

export class PointView {
  #shown = null;
  #map = null;
  #image = "";
  #layers = new Map();

  constructor(area) {
    this.area = area;
    byId("colors").addEventListener("change", () => this.#drawImages());
    byId("index").addEventListener("change", () => this.#drawSeries());
    addEventListener("resize", () => this.#drawSeries());
  }

  /** The layer whose colours are chosen. */
  get colors() {
    return byId("colors").querySelector("input:checked").value;
  }

  /** Show a point; the one before is gone at once, so that nobody judges what is not seen. */
  show(point) {
    this.#shown = point;
    const seen = chosen(point);
    this.#image = seen[Math.floor(seen.length / 2)]?.acquisition ?? "";
    byId("chips").replaceChildren(
      ...seen.map((one) => this.#chip(point, one)),
      ...point.missing.map((sentence) => h("p", { class: "notice" }, sentence)),
      ...(seen.length || point.missing.length
        ? [] : [h("p", { class: "notice" }, `No acquisition of ${point.year} shows this pixel.`)]));
    this.#indices(point);
    this.#drawSeries();
    this.#known(point);
    this.#around(point);
  }

  /** Fetch the images of a point that is shown later. */
  prepare(point) {
    setTimeout(() => {
      for (const one of chosen(point)) new Image().src = chipOf(point, one, this.colors);
    }, LATER);
  }

  /** Show the image before or after the one of the neighbourhood. */
  step(by) {
    const seen = this.#shown ? chosen(this.#shown) : [];
    const at = seen.findIndex((one) => one.acquisition === this.#image) + by;
    if (seen[at]) this.#pick(seen[at], true);
  }

  setTheme(now) {
    this.#map?.setTheme(now);
  }

  #chip(point, one) {
    const picture = h("img", {
      src: chipOf(point, one, this.colors), width: PIXELS, height: PIXELS, alt: "", decoding: "async",
      onerror: (event) => event.target.closest(".chip")?.classList.add("failed"),
    });
    const side = (100 * point.metres) / METERS;
    const at = 50 - side / 2;
    const box = (name) => svg("rect", { class: name, x: at, y: at, width: side, height: side });
    return h("button", {
      type: "button", class: "chip", "data-acquisition": one.acquisition,
      "aria-pressed": String(one.acquisition === this.#image),
      "aria-label": `${said(one)}. Show in the neighbourhood`,
      onclick: () => this.#pick(one),
    }, h("span", { class: "frame" }, picture,
      svg("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" }, box("outer"), box("inner"))),
    h("span", { class: "date" }, shortDay(one.time), h("span", { class: "hint" }, ` ${ndvi(one)}`)));
  }

  #drawImages() {
    if (!this.#shown) return;
    for (const chip of byId("chips").querySelectorAll(".chip")) {
      const one = this.#shown.observations.find((o) => o.acquisition === chip.dataset.acquisition);
      chip.classList.remove("failed");
      chip.querySelector("img").src = chipOf(this.#shown, one, this.colors);
    }
    this.#showImage();
  }

  #pick(one, aloud = false) {
    this.#image = one.acquisition;
    for (const chip of byId("chips").querySelectorAll(".chip")) {
      chip.setAttribute("aria-pressed", String(chip.dataset.acquisition === one.acquisition));
    }
    this.chart?.show(one.acquisition);
    this.#showImage();
    if (aloud) say("image", said(one));
  }

  #indices(point) {
    const names = Object.keys(point.observations[0]?.values ?? {});
    const before = byId("index").value;
    const first = names.includes(before) ? before : names.includes("NDVI") ? "NDVI" : names.at(-1);
    byId("index").replaceChildren(...names.map((name) =>
      h("option", { value: name, selected: name === first }, name)));
    byId("index").hidden = !names.length;
  }

  #drawSeries() {
    const point = this.#shown;
    this.chart = null;
    if (!point?.observations.length) {
      byId("series").replaceChildren();
      return;
    }
    const name = byId("index").value;
    this.chart = new Chart({
      observations: point.observations.map((one) => ({ ...one, used: true })), features: [], name,
      width: Math.max(240, byId("series").clientWidth),
      onhover: (one) => { byId("chart-reading").textContent = one ? `${said(one)}, ${KINDS[kindOf(one)].text}: ${name} ${number(one.values[name], 3)}` : ""; },
      onpick: (one) => this.#pick(one),
    });
    byId("series").replaceChildren(this.chart.element);
    this.chart.show(this.#image);
  }

  #known(point) {
    const lines = [];
    if (point.map) lines.push(h("p", {}, "The map says ", swatch(point.map.color), ` ${point.map.name}.`));
    for (const one of point.others ?? []) {
      const what = one.class_name || "cannot be judged";
      const before = one.before_name ? `, before ${one.before_name}` : "";
      lines.push(h("p", {}, h("strong", {}, one.who), ` said ${what}${before} (${one.confidence} confidence)${one.remark ? `: “${one.remark}”` : "."}`));
    }
    if (point.own && point.opinion !== "consensus") {
      lines.push(h("p", {}, `You said ${point.own.class_name || "cannot be judged"}; another class replaces it.`));
    }
    byId("known").replaceChildren(...lines);
    byId("known").hidden = !lines.length;
  }

  async #around(point) {
    if (!globalThis.maplibregl) return;
    try {
      await this.#opened(point);
    } catch (error) {
      byId("map").hidden = true; // a browser without WebGL: the images say the same
      console.warn(error);
      return;
    }
    if (this.#shown !== point) return;
    this.#map.camera = `${NEAR}/${point.latitude}/${point.longitude}`;
    this.#map.setPixel({ type: "Polygon", coordinates: [point.outline] });
    this.#showImage();
  }

  async #opened(point) {
    if (!this.#layers.has(point.year)) {
      const layers = await get("api/layers", { year: point.year });
      this.#layers.set(point.year, new Map(layers.map((layer) => [layer.id, layer])));
    }
    if (this.#map) return;
    this.#map = new MapView("map", {
      area: this.area, label: "Neighbourhood of the point",
      camera: `${NEAR}/${point.latitude}/${point.longitude}`,
    });
    this.#map.setTheme(theme());
  }

  #showImage() {
    const point = this.#shown;
    const one = point?.observations.find((o) => isOf(o, this.#image));
    byId("shown-image").textContent = one ? said(one) : "";
    if (!this.#map || !point) return;
    const layer = this.#layers.get(point.year)?.get(this.colors);
    const shown = one && layer?.available ? [{
      url: tilesOf(layer, { acquisition: one.acquisition }),
      minZoom: layer.min_zoom, maxZoom: layer.max_zoom, smooth: false,
    }] : [];
    this.#map.show(shown);
  }
}

/** Return observations whose images are shown: clear ones, spread over the year. */
function chosen({ observations }) {
  const withData = observations.filter((one) => one.data);
  const clear = withData.filter((one) => one.valid !== false);
  const from = clear.length ? clear : withData;
  if (from.length <= CHIPS) return from;
  const step = (from.length - 1) / (CHIPS - 1);
  return Array.from({ length: CHIPS }, (_, i) => from[Math.round(i * step)]);
}

const chipOf = (point, one, colors) => address(
  `chips/${point.year}/${encodeURIComponent(one.acquisition)}.png`,
  { lon: point.longitude, lat: point.latitude, meters: METERS, size: PIXELS, bands: String(colors === "false_color") });

const said = (one) => `${day(one.time)}${ndvi(one) ? `, NDVI ${ndvi(one)}` : ""}`;
const ndvi = (one) => (typeof one.values.NDVI === "number" ? one.values.NDVI.toFixed(2) : "");
const shortDay = (time) => day(time).replace(/ \d+$/, "");
