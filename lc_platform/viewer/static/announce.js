// What happens, in words: a live region that is also seen.

import { byId } from "./dom.js";

const current = new Map();
let later = 0;

/** How long words stay, in milliseconds; others stay until they are taken back. */
const PASSING = { done: 4000, failure: 8000 };
const ORDER = ["problem", "failure", "busy", "done"];

/**
 * Say what goes on with one thing, or with "" that it is over.
 * kind  "busy" while it lasts, "problem" as long as there is one, "done" or "failure" of one act
 */
export function say(about, words, kind = "done") {
  clearTimeout(current.get(about)?.over);
  if (words) {
    const over = PASSING[kind] && setTimeout(() => say(about, ""), PASSING[kind]);
    current.set(about, { words, kind, over });
  } else if (!current.delete(about)) return;
  clearTimeout(later);
  // What is over at once is not worth a word.
  later = setTimeout(show, kind === "busy" ? 250 : 0);
}

function show() {
  const first = [...current.values()]
    .sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))[0];
  const status = byId("status");
  const words = first?.words ?? "";
  if (status.textContent !== words) status.textContent = words;
  status.dataset.kind = first?.kind ?? "none";
}
