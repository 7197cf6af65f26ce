// The chooser: which year, which layer, how opaque.

import { say } from "./announce.js";
import { worded } from "./api.js";
import { byId, h, keepingFocus } from "./dom.js";
import { spanOf, spanOfSeason } from "./season.js";

/** Start the chooser of years and layers, and the slider of opacity. */
export function startLayers({ area, state, catalogue }) {
  const draw = () => drawLayers(area, state, catalogue);
  const drawn = () => keepingFocus(() => byId("years").replaceChildren(
    h("legend", {}, "Year", spanOfSeason() ? ` (${spanOfSeason()})` : ""),
    ...area.years.map((year) => yearPill(area, state, year))));
  state.on("year", () => { drawn(); draw(); });
  state.on("layer from", draw);
  catalogue.addEventListener("change", draw);
  catalogue.addEventListener("maps", drawn);
  drawn();
  draw();
  startOpacity(state);
}

function yearPill(area, state, year) {
  const mapped = area.maps.includes(year);
  const about = [spanOf(year), mapped ? null : `There is no map of ${year} yet`];
  return h("label", { title: about.filter(Boolean).join(". ") || null },
    h("input", {
      type: "radio", name: "year", id: `year-${year}`, value: year, checked: year === state.now.year,
      // An acquisition belongs to its year.
      onchange: () => state.set({ year, acquisition: "" }),
    }),
    h("span", { class: mapped ? null : "unmade" }, String(year)));
}

async function drawLayers(area, state, catalogue) {
  const { year } = state.now;
  let layers;
  try {
    layers = await catalogue.of(year);
  } catch (error) {
    say("layers", worded(error), "problem");
    return;
  }
  say("layers", "");
  if (state.now.year !== year) return;
  const groups = new Map();
  for (const layer of layers.values()) {
    groups.set(layer.group, [...(groups.get(layer.group) ?? []), layer]);
  }
  const choose = (layer) => {
    const now = layers.get(state.now.layer);
    state.set({ layer: layer.id, ...(sameClasses(now, layer) ? {} : { classes: "" }) });
  };
  keepingFocus(() => byId("layers").replaceChildren(
    ...[...groups].map(([group, members]) => h("fieldset", { class: "choices" },
      h("legend", {}, group), members.map((layer) => choice(layer, state, choose)))),
    ...changeFrom(layers.get(state.now.layer), area, state)));
  showChosen(byId("layers"));
}

/** Scroll a list that scrolls by itself to what is chosen in it. */
function showChosen(list) {
  const chosen = list.querySelector("input:checked")?.parentElement;
  if (!chosen) return;
  const [one, all] = [chosen.getBoundingClientRect(), list.getBoundingClientRect()];
  if (one.top < all.top) list.scrollTop -= all.top - one.top + 4;
  else if (one.bottom > all.bottom) list.scrollTop += one.bottom - all.bottom + 4;
}

const sameClasses = (one, other) =>
  one?.kind === "classes" && other.kind === "classes"
  && String(one.legend.map(({ value }) => value)) === String(other.legend.map(({ value }) => value));

function choice(layer, state, choose) {
  const id = `layer-${layer.id}`;
  return h("label", { title: layer.available ? null : layer.why },
    h("input", {
      type: "radio", name: "layer", id, value: layer.id, checked: layer.id === state.now.layer,
      "aria-describedby": layer.available ? null : `${id}-why`,
      onchange: () => choose(layer),
    }),
    h("span", { class: layer.available ? null : "unmade" }, layer.title),
    layer.available ? null : h("span", { class: "hidden", id: `${id}-why` }, layer.why));
}

/** Return the choice of the year that a change is counted from, for layers that take one. */
function changeFrom(layer, area, state) {
  const earlier = area.years.filter((year) => year < state.now.year);
  if (!layer?.takes.includes("from") || earlier.length < 2) return [];
  const value = state.now.from || earlier.at(-1);
  return [h("label", { class: "row" }, h("span", {}, "Change since"),
    h("select", { id: "change-from", onchange: (event) => state.set({ from: Number(event.target.value) }) },
      earlier.map((year) => h("option", { value: year, selected: year === value }, String(year)))))];
}

function startOpacity(state) {
  const slider = byId("opacity");
  const show = () => {
    slider.value = String(Math.round(state.now.opacity * 100));
    byId("opacity-value").textContent = `${slider.value} %`;
  };
  slider.addEventListener("input", () => state.set({ opacity: Number(slider.value) / 100 }));
  state.on("opacity", show);
  show();
}
