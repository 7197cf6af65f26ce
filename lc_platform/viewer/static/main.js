// The page's start: what the area has, what the link says, and the parts put together.

import { say } from "./announce.js";
import { get } from "./api.js";
import { Catalogue } from "./catalogue.js";
import { startCompare } from "./compare.js";
import { byId, h } from "./dom.js";
import { startImagery } from "./imagery.js";
import { startLayers } from "./layers.js";
import { startLegend } from "./legend.js";
import { startPatches } from "./patches.js";
import { startPixel } from "./pixel.js";
import { startReadout } from "./readout.js";
import { startSearch } from "./search.js";
import { takeSeason } from "./season.js";
import { State } from "./state.js";
import { startTheme } from "./theme.js";

const LOOK_AGAIN = 20_000; // milliseconds between two looks for what a run has made

async function start() {
  const area = await get("api/area");
  document.title = `${area.name}: land cover map`;
  byId("area-name").textContent = area.name;
  byId("judge").hidden = !area.may_judge;
  // Dagster's UI may be at the root of this address, which is said by an empty text.
  byId("dagster").hidden = area.dagster === null;
  if (area.dagster !== null) byId("dagster").href = area.dagster || "/";

  takeSeason(area.season);
  const state = new State(area);
  const catalogue = new Catalogue(area);
  const maps = startCompare({ area, state, catalogue });
  const parts = { area, state, catalogue, maps };
  startTheme((theme) => maps.setTheme(theme));
  startLayers(parts);
  startLegend(parts);
  startImagery(parts);
  startPixel({ ...parts, patches: startPatches(parts) });
  startSearch(parts);
  startReadout(parts);
  startTools();
  if (area.message) {
    notice(area.message);
    catalogue.addEventListener("change", forgetNotice);
  }

  const look = () => document.hidden || catalogue.refresh();
  setInterval(look, LOOK_AGAIN);
  document.addEventListener("visibilitychange", look);
}

function startTools() {
  byId("skip").addEventListener("click", () => byId("left").querySelector("canvas").focus());
  byId("copy-link").addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    say("link", "The link to what is on the screen is copied.");
  });
  byId("help").addEventListener("click", () => byId("help-dialog").showModal());
  const toggle = byId("panel-toggle");
  const open = (is) => {
    document.body.toggleAttribute("data-panel", is);
    toggle.setAttribute("aria-expanded", String(is));
    dispatchEvent(new Event("resize"));
  };
  toggle.addEventListener("click", () => open(!document.body.hasAttribute("data-panel")));
  open(!matchMedia("(max-width: 45rem)").matches);
}

/** Show a sentence in the middle of the map; commands in backticks are set as code. */
function notice(words) {
  byId("notice").hidden = false;
  byId("notice").replaceChildren(
    h("p", {}, words.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part))));
  say("area", words, "problem");
}

function forgetNotice() {
  byId("notice").hidden = true;
  say("area", "");
}

start().catch((error) => notice(error.message));
