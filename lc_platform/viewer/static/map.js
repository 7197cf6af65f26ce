// One MapLibre map: tiles of one layer, the patch grid above them, the chosen pixel above all.

/* global maplibregl */
import { sentence } from "./api.js";

const NOTHING = { type: "FeatureCollection", features: [] };
const COLOURS = {
  light: { background: "#e9edf0", grid: "#1b2733" },
  dark: { background: "#12161b", grid: "#e8edf2" },
};
/** Saturation of tiles below the patches, whose colours are what is to be seen. */
const FADED = -0.85;
/** Okabe and Ito's colours, which the colour-blind can tell apart. */
export const STATES = {
  c: { name: "current", color: "#009e73", mark: "" },
  r: { name: "running", color: "#56b4e9", mark: "…" },
  f: { name: "failed", color: "#d55e00", mark: "!" },
  s: { name: "stale", color: "#f0e442", mark: "↻" },
  m: { name: "missing", color: "#8a949e", mark: "" },
};

export class MapView {
  /**
   * container  the element that the map fills
   * area       what /api/area says
   * label      what a screen reader calls the map
   * camera     zoom/latitude/longitude, or "" for the whole area
   */
  constructor(container, { area, label, camera, padding }) {
    this.area = area;
    const [zoom, latitude, longitude] = camera.split("/").map(Number);
    let at = { center: [0, 20], zoom: 1 };
    if (camera) at = { center: [longitude, latitude], zoom };
    else if (area.bounds) at = { bounds: area.bounds, fitBoundsOptions: { padding: withMargin(padding) } };
    this.map = new maplibregl.Map({
      container,
      style: styleOf(area),
      ...at,
      maxZoom: 20,
      renderWorldCopies: area.crosses_antimeridian,
      fadeDuration: 0,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      locale: { "Map.Title": label },
    });
    this.map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "bottom-right");
    this.map.addControl(new maplibregl.ScaleControl({ maxWidth: 120 }), "bottom-right");
    if (area.base_map) this.map.addControl(new maplibregl.AttributionControl({ compact: true }), "bottom-right");
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    // A map that was closed before it was ready never is.
    this.ready = new Promise((resolve) => this.map.once("style.load", () => this.closed || resolve()));
    this.ready.then(() => this.#addMarks());
    this.map.on("error", (event) => this.#failed(event));
    this.map.on("zoomend", () => this.#tellZoom());
  }

  closed = false;
  /** Called with what went wrong, in words. */
  onproblem = () => {};
  /** Called when tiles are asked for that were made again since. */
  onoutdated = () => {};
  /** Called with whether the layer is drawn only further in. */
  onfar = () => {};
  #minZoom = 0;
  #shown = 0;
  #wanted = "";

  /** Take the map away for good. */
  close() {
    this.closed = true;
    this.map.remove();
  }

  /**
   * Show tiles in place of the ones before, which stay until the new ones are there.
   *
   * tiles    [{url, minZoom, maxZoom, smooth}], from below to above; smooth: whether pixels may be
   *          blended, as of images and never of classes
   * opacity  of the uppermost
   */
  async show(tiles, opacity = 1) {
    await this.ready;
    const wanted = tiles.map(({ url }) => url).join(" ");
    if (this.closed || wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#minZoom = Math.max(0, ...tiles.map(({ minZoom }) => minZoom));
    this.#tellZoom();
    const before = this.#tileLayers();
    tiles.forEach((one, i) => this.#add(one, i === tiles.length - 1 ? opacity : 1));
    if (tiles.length) await new Promise((resolve) => this.map.once("idle", resolve));
    if (this.closed) return;
    for (const old of before) {
      if (!this.map.getLayer(old)) continue;
      this.map.removeLayer(old);
      this.map.removeSource(old);
    }
  }

  #add({ url, minZoom, maxZoom, smooth }, opacity) {
    const id = `tiles-${(this.#shown += 1)}`;
    this.map.addSource(id, {
      type: "raster",
      tiles: [url],
      tileSize: 256,
      minzoom: minZoom,
      maxzoom: maxZoom,
      ...(this.area.crosses_antimeridian || !this.area.bounds ? {} : { bounds: this.area.bounds }),
    });
    this.map.addLayer({
      id,
      type: "raster",
      source: id,
      paint: {
        "raster-opacity": opacity,
        "raster-saturation": this.#states ? FADED : 0,
        "raster-resampling": smooth ? "linear" : "nearest",
        "raster-fade-duration": 0,
      },
    }, "patches-fill");
  }

  #tileLayers() {
    return this.map.getLayersOrder().filter((id) => id.startsWith("tiles-"));
  }

  /** Set the opacity of the uppermost tiles. */
  async setOpacity(opacity) {
    await this.ready;
    if (this.closed) return;
    const [top] = this.#tileLayers().slice(-1);
    if (top) this.map.setPaintProperty(top, "raster-opacity", opacity);
  }

  #states = "";

  /** Lay the grid of patches; null takes it away. */
  async setGrid(collection) {
    await this.ready;
    if (this.closed) return;
    this.#states = "";
    this.map.removeFeatureState({ source: "patches" });
    this.map.getSource("patches").setData(collection ?? NOTHING);
    this.map.getSource("marks").setData(NOTHING);
    if (collection?.features.length) this.map.setPaintProperty("patches-line", "line-opacity", lineOpacity(collection));
    for (const id of this.#tileLayers()) {
      this.map.setPaintProperty(id, "raster-saturation", collection ? FADED : 0);
    }
  }

  /** Colour the patches of a grid by their states, a letter each in the grid's order. */
  async setStates(states, collection) {
    await this.ready;
    if (this.closed) return;
    for (let id = 0; id < states.length; id += 1) {
      if (states[id] !== this.#states[id]) {
        this.map.setFeatureState({ source: "patches", id }, { state: states[id] });
      }
    }
    this.#states = states;
    this.map.getSource("marks").setData(marksOf(states, collection));
  }

  /** Outline the chosen pixel: a polygon, or null. */
  async setPixel(outline) {
    await this.ready;
    if (this.closed) return;
    this.map.getSource("pixel").setData(
      outline ? { type: "Feature", properties: {}, geometry: outline } : NOTHING);
  }

  async setTheme(theme) {
    await this.ready;
    if (this.closed) return;
    this.map.setPaintProperty("background", "background-color", COLOURS[theme].background);
    this.map.setPaintProperty("patches-line", "line-color", COLOURS[theme].grid);
  }

  /** Leave room at the sides for the panels that lie over the map. */
  setPadding(padding) {
    const now = this.map.getPadding();
    if (Object.keys(padding).some((side) => padding[side] !== now[side])) {
      this.map.setPadding(padding);
    }
  }

  /** Go to bounds, or to a place at a zoom where single pixels are seen. */
  go({ bounds, lon, lat }) {
    if (bounds) this.map.fitBounds(bounds, { maxZoom: 16, padding: 40, animate: moves() });
    else this.map.flyTo({ center: [lon, lat], zoom: Math.max(this.map.getZoom(), 15), animate: moves() });
  }

  get camera() {
    const { lng, lat } = this.map.getCenter();
    return `${this.map.getZoom().toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}`;
  }

  set camera(camera) {
    if (!camera || camera === this.camera) return;
    const [zoom, lat, lng] = camera.split("/").map(Number);
    this.map.jumpTo({ zoom, center: [lng, lat] });
  }

  #addMarks() {
    for (const { name, color, mark } of Object.values(STATES)) {
      if (mark) this.map.addImage(name, drawnMark(mark, color), { pixelRatio: 2 });
    }
  }

  #tellZoom() {
    // Tiles of 256 pixels are a zoom further than MapLibre's own.
    this.onfar(Math.round(this.map.getZoom() + 1) < this.#minZoom);
  }

  async #failed({ error }) {
    if (error?.status === 409) {
      this.onoutdated();
      return;
    }
    if (error?.status === undefined) console.error(error);
    const text = error?.body ? await error.body.text() : "";
    this.onproblem(await sentence({ status: error?.status ?? 0, text: () => text }));
  }
}

/** Whether movements may be animated. */
const moves = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

function withMargin(padding) {
  return Object.fromEntries(
    ["top", "right", "bottom", "left"].map((side) => [side, (padding?.[side] ?? 0) + 24]));
}

function styleOf(area) {
  const base = area.base_map;
  const color = ["match", ["feature-state", "state"],
    ...Object.entries(STATES).flatMap(([letter, { color }]) => [letter, color]), "transparent"];
  return {
    version: 8,
    sources: {
      ...(base && {
        base: { type: "raster", tiles: [base.tiles], tileSize: 256, attribution: base.attribution },
      }),
      patches: { type: "geojson", data: NOTHING },
      marks: { type: "geojson", data: NOTHING },
      pixel: { type: "geojson", data: NOTHING },
    },
    layers: [
      { id: "background", type: "background", paint: { "background-color": COLOURS.light.background } },
      ...(base ? [{ id: "base", type: "raster", source: "base" }] : []),
      { id: "patches-fill", type: "fill", source: "patches",
        paint: { "fill-color": color, "fill-opacity": 0.55 } },
      { id: "patches-line", type: "line", source: "patches",
        paint: { "line-color": COLOURS.light.grid, "line-width": 1, "line-opacity": 0.7 } },
      { id: "marks", type: "symbol", source: "marks",
        layout: { "icon-image": ["get", "state"], "icon-padding": 0 } },
      { id: "pixel-outer", type: "line", source: "pixel",
        paint: { "line-color": "#ffffff", "line-width": 5 } },
      { id: "pixel-inner", type: "line", source: "pixel",
        paint: { "line-color": "#000000", "line-width": 2 } },
    ],
  };
}

/** Return a point in each patch whose state has a mark, so that colour alone says nothing. */
function marksOf(states, collection) {
  const features = collection.features
    .filter((feature) => STATES[states[feature.id]]?.mark)
    .map(({ id, geometry }) => ({
      type: "Feature",
      properties: { state: STATES[states[id]].name },
      geometry: { type: "Point", coordinates: middle(geometry) },
    }));
  return { type: "FeatureCollection", features };
}

/** Return how opaque the patches' outlines are: hardly where they would cover what they are around. */
function lineOpacity({ features: [{ geometry }] }) {
  const ring = geometry.type === "Polygon" ? geometry.coordinates[0] : geometry.coordinates[0][0];
  const longitudes = ring.map(([longitude]) => longitude);
  const degrees = Math.max(...longitudes) - Math.min(...longitudes);
  // At this zoom a patch is 8 pixels wide; the world is 512 at zoom 0.
  const small = Math.log2((8 * 360) / (512 * degrees));
  return ["interpolate", ["linear"], ["zoom"], small, 0.15, small + 1.5, 0.7];
}

function middle(geometry) {
  const ring = geometry.type === "Polygon" ? geometry.coordinates[0] : geometry.coordinates[0][0];
  const corners = ring.slice(0, -1);
  return [0, 1].map((i) => corners.reduce((sum, corner) => sum + corner[i], 0) / corners.length);
}

function drawnMark(text, color) {
  const size = 40;
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const pen = canvas.getContext("2d");
  pen.fillStyle = color;
  pen.strokeStyle = "#1b2733";
  pen.lineWidth = 3;
  pen.beginPath();
  pen.arc(size / 2, size / 2, size / 2 - 2, 0, 2 * Math.PI);
  pen.fill();
  pen.stroke();
  pen.fillStyle = "#000000";
  pen.font = "bold 26px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, size / 2, size / 2 + 1);
  return pen.getImageData(0, 0, size, size);
}
