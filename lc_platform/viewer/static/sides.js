// What each side of the map shows. Without a comparison there is the left side alone.

import { monthIn } from "./season.js";
import { day } from "./words.js";

/** Layers that show one acquisition. */
export const IMAGES = new Set(["true_color", "false_color", "clouds"]);

/** Return a side's choice: year, layer, and what the layer's tiles take. */
export function sideOf(state, side) {
  const { year, layer, acquisition, month, classes, from } = state;
  const left = { year, layer, acquisition, month, classes, from };
  if (side === "left") return left;
  return {
    ...left,
    year: state.right_year || year,
    layer: state.right_layer || layer,
    acquisition: state.right_acquisition,
    month: state.right_month,
  };
}

/** Whether a layer is of one image, and none is chosen yet. */
export function lacksImage({ acquisition, month }, { takes }) {
  const months = takes.includes("month") && month;
  return takes.includes("acquisition") && !acquisition && !months;
}

/** Return the name under which a state holds a side's choice: "year" or "right_year". */
export const nameOn = (side, name) => (side === "right" ? `right_${name}` : name);

/** Return in words what a side shows: "True colour, 11 Jul 2023". */
export function titleOf(chosen, layer) {
  const title = layer?.title ?? chosen.layer;
  const takes = new Set(layer?.takes ?? []);
  if (takes.has("acquisition") && chosen.acquisition) return `${title}, ${dated(chosen.acquisition)}`;
  if (takes.has("month") && chosen.month) {
    return `${title}, ${monthIn(chosen.month, chosen.year)}`;
  }
  if (takes.has("from") && chosen.from) return `${title}, ${chosen.from} to ${chosen.year}`;
  return `${title}, ${chosen.year}`;
}

/** Return an acquisition's date where its key holds one, else the key. */
export function dated(key) {
  const found = /(\d{4})-?(\d{2})-?(\d{2})/.exec(key);
  return found ? day(Date.UTC(found[1], found[2] - 1, found[3])) : key;
}
