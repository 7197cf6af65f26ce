// What the judgements say up to now: the confusion matrix, agreement, progress, points to look at.

import { h, swatch } from "./dom.js";
import { count, number, percent } from "./words.js";

/**
 * Return the review as elements.
 *
 * sample, review  what the server says of a year
 * look            called with a point's id and an opinion, to look at it again
 */
export function reviewed(sample, review, look) {
  return [
    h("h2", { id: "review-title" }, `Review of ${sample.year}`),
    h("p", { class: "hint" }, "This is not blind: it shows the map's classes and what everybody said."),
    ...sample.messages.map((sentence) => h("p", { class: "notice" }, sentence)),
    accuracy(review),
    matrix(review),
    strata(sample),
    people(sample),
    points("Opinions differ", review.differ, "consensus", look),
    points("The map says otherwise", review.errors, "first", look),
  ];
}

function accuracy({ overall_accuracy: found }) {
  const words = found
    ? `Overall accuracy up to now: ${percent(100 * found.value, 1)} (95 % interval ${percent(100 * found.low, 1)} to ${percent(100 * found.high, 1)}).`
    : "Overall accuracy is told when two points of each of the map's classes are judged.";
  return h("p", {}, words);
}

function matrix({ rows, columns, matrix: points, not_judged: open }) {
  const seen = columns.map((_, j) => points.some((row) => row[j] > 0) || rows.some((r) => r.id === columns[j].id));
  const shown = columns.map((_, j) => j).filter((j) => seen[j]);
  return scroll("Confusion matrix", h("table", { class: "plain matrix" },
    h("caption", {}, "Points by the map's class (rows) and by the class that people saw (columns)"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Map"),
      shown.map((j) => h("th", { scope: "col", class: "figure" }, columns[j].name)),
      h("th", { scope: "col", class: "figure" }, "not judged"))),
    h("tbody", {}, rows.map((row, i) => h("tr", {}, named(row),
      shown.map((j) => h("td", { class: `figure ${columns[j].id === row.id ? "agrees" : ""}` }, String(points[i][j]))),
      h("td", { class: "figure" }, String(open[i])))))));
}

function strata({ strata: found }) {
  return scroll("Progress by stratum", h("table", { class: "plain" },
    h("caption", {}, "Progress by stratum"),
    header(["Map's class", "points", "judged", "two opinions", "differ", "cannot be judged"]),
    h("tbody", {}, found.map((one) => h("tr", {}, named(one),
      [one.points, one.judged, one.two_opinions, one.differ, one.cannot_be_judged].map(figure))))));
}

function people({ people: found, agreement }) {
  if (!found.length) return h("p", {}, "Nobody has judged yet.");
  const parts = [scroll("People", h("table", { class: "plain" }, h("caption", {}, "People"),
    header(["Name", "points"]),
    h("tbody", {}, found.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), figure(one.judged))))))];
  if (agreement.length) {
    parts.push(scroll("Agreement", h("table", { class: "plain" },
      h("caption", {}, "Agreement of two people on the points that both have judged"),
      header(["People", "points", "agree", "Cohen's kappa"]),
      h("tbody", {}, agreement.map((one) => h("tr", {},
        h("th", { scope: "row" }, `${one.first} and ${one.second}`), figure(one.points),
        h("td", { class: "figure" }, percent(100 * one.share, 0)),
        h("td", { class: "figure" }, number(one.kappa))))))));
  }
  return parts;
}

function points(title, found, opinion, look) {
  if (!found.length) return null;
  return h("details", {}, h("summary", {}, `${title}: ${count(found.length, "point")}`),
    h("ul", { class: "points" }, found.map((one) => {
      const given = one.given.map((g) => `${g.who}: ${g.class_name || "cannot be judged"}${g.remark ? ` (${g.remark})` : ""}`);
      return h("li", {}, h("button", { type: "button", class: "button small", onclick: () => look(one.id, opinion) }, "Look again"),
        h("span", {}, `Map: ${one.map.name}. ${given.join("; ") || "Written in the file"}.`));
    })));
}

const header = (names) => h("thead", {}, h("tr", {}, names.map((name, i) =>
  h("th", { scope: "col", class: i ? "figure" : null }, name))));
const figure = (n) => h("td", { class: "figure" }, String(n));
const named = ({ name, color }) =>
  h("th", { scope: "row" }, h("span", { class: "entry" }, swatch(color), h("span", {}, name)));
const scroll = (label, table) =>
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
