// The parts of a pixel's story that are tables: its class, probabilities, reference, observations.

import { KINDS, kindOf } from "./chart.js";
import { bar, h, link, swatch } from "./dom.js";
import { day, number, percent, place, share } from "./words.js";

/** Return what the map says of the pixel. */
export function verdict({ map, reference, patch, lon, lat }) {
  const parts = [h("p", { class: "where" }, place(lon, lat), h("span", { class: "hint" }, ` in patch ${patch}`))];
  if (map) {
    parts.push(h("p", { class: "verdict" }, swatch(map.color ?? "transparent"), h("strong", {}, map.name ?? "No data")));
    const figures = [["Confidence", map.confidence], ["Margin", map.margin], ["Entropy", map.entropy],
      ["Applicability", map.applicability]].filter(([, value]) => value !== null && value !== undefined);
    parts.push(h("dl", { class: "figures" },
      figures.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, percent(value))))));
  }
  if (reference) parts.push(referenceLine(reference, map));
  return parts;
}

function referenceLine(reference, map) {
  const said = reference.class === null || reference.class === undefined ? "not labelled here" : reference.name;
  const agrees = map && reference.class
    ? (reference.class === map.class ? ", as the map has it" : ", other than the map") : "";
  const polygon = reference.polygon ? ` (polygon ${reference.polygon})` : "";
  const ambiguous = reference.ambiguous ? ". Several classes claim this pixel" : "";
  return h("p", {}, h("span", { class: "hint" }, "Reference: "), `${said}${agrees}${polygon}${ambiguous}`);
}

/** Return a table of the classes' probabilities, a column a year. */
export function probabilities({ by_year: years }) {
  const columns = (years ?? []).filter((one) => one.class !== null && one.class !== undefined);
  if (!columns.length) return null;
  const full = columns.map((one) => new Map((listed(one) ?? [
    { class: one.class, name: one.name, color: one.color, percent: one.confidence }]).map((p) => [p.class, p])));
  const classes = new Map(full.flatMap((column) => [...column]));
  const last = full.at(-1);
  const order = [...classes.values()].sort((a, b) => (last.get(b.class)?.percent ?? -1) - (last.get(a.class)?.percent ?? -1));
  return h("div", { class: "wide" }, h("table", { class: "probabilities" },
    h("caption", {}, full.some((column) => column.size > 1) ? "Probability of each class" : "Class and its probability"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Class"),
      columns.map(({ year }) => h("th", { scope: "col", class: "figure" }, String(year))))),
    h("tbody", {}, order.map((entry) => h("tr", {},
      h("th", { scope: "row" }, h("span", { class: "entry" }, swatch(entry.color), h("span", {}, entry.name))),
      full.map((column) => {
        const found = column.get(entry.class);
        return h("td", { class: "figure" }, found ? [percent(found.percent), bar(found.percent, entry.color)] : "–");
      }))))));
}

/** Return a year's probabilities of all classes; null where the map keeps only the chosen class's. */
const listed = ({ probabilities: list }) => (list?.length ? list : null);

/** Return the observations as a table, whose dates put their image on the map. */
export function observationsTable(story, name, onpick) {
  return h("details", { class: "observations" },
    h("summary", {}, `${story.observations.length} observations as a table`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Observations" }, h("table", { class: "plain" },
      h("thead", {}, h("tr", {}, ["Date", name, "State", "Cloud", "Item"].map((text, i) =>
        h("th", { scope: "col", class: i === 1 || i === 3 ? "figure" : null }, text)))),
      h("tbody", {}, story.observations.map((one) => h("tr", {},
        h("th", { scope: "row" }, h("button", {
          type: "button", class: "as-link", title: one.acquisition, onclick: () => onpick(one),
        }, day(one.time))),
        h("td", { class: "figure" }, number(one.values[name], 3)),
        h("td", {}, one.data === false ? "no data" : KINDS[kindOf(one)].text),
        h("td", { class: "figure" }, share(one.cloud_probability)),
        h("td", {}, one.link ? link(one.link, "item") : "")))))));
}

/** Return what was made by what, and where to read more. */
export function provenance({ model, links, missing, crs, row, column, x, y, map }, about) {
  const version = model?.version ?? map?.model_version;
  return [
    ...(missing ?? []).map((sentence) => h("p", { class: "notice" }, sentence)),
    h("dl", { class: "history" },
      line("Pixel", `row ${row}, column ${column}`),
      line("Centre", `${number(x, 1)}, ${number(y, 1)} (${crs})`),
      version ? line("Model", link(model?.link, String(version).slice(0, 12))) : null,
      about ? line(about.asset, [about.state, about.why ? `: ${about.why}` : ""].join("")) : null),
    links?.dagster || about?.link
      ? h("p", {}, link(about?.link ?? links.dagster, "This patch in Dagster")) : null,
  ];
}

const line = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
