// People judge the points of a reference sample, one after the other, by a key or a click a point.

import { say } from "./announce.js";
import { ApiError, address, get, sentence } from "./api.js";
import { byId, h, swatch } from "./dom.js";
import { onKeys, startKeySwitch } from "./judge-keys.js";
import { PointView } from "./judge-point.js";
import { reviewed } from "./judge-review.js";
import { startTheme } from "./theme.js";
import { count } from "./words.js";

const TRIES = 4;
const PAUSE = 700; // milliseconds before a judgement is sent again
const CONFIDENCES = ["high", "medium", "low"];

class Judging {
  #sample = null;
  #point = null;
  #next = null;
  #given = [];
  #first = null; // the class of the year, while that of the year before is asked for
  #busy = false;
  #unsent = new Map();
  #turn = 0;

  constructor(area) {
    this.area = area;
    this.view = new PointView(area);
    const asked = Number(new URLSearchParams(location.hash.slice(1)).get("year"));
    this.year = area.samples.includes(asked) ? asked : area.samples.at(-1);
    byId("year").append(...area.samples.map((year) =>
      h("option", { value: year, selected: year === this.year }, String(year))));
    byId("year").hidden = area.samples.length < 2;
    this.#listen();
  }

  #listen() {
    byId("year").addEventListener("change", () => {
      this.year = Number(byId("year").value);
      location.hash = `year=${this.year}`;
      this.#given = [];
      this.restart();
    });
    for (const id of ["opinions", "blind", "stratum"]) byId(id).addEventListener("change", () => this.restart());
    byId("cannot").addEventListener("click", () => this.choose(null));
    byId("skip-point").addEventListener("click", () => this.skip());
    byId("undo").addEventListener("click", () => this.undo());
    byId("review-toggle").addEventListener("click", () => this.review(byId("review").hidden));
    byId("help").addEventListener("click", () => byId("help-dialog").showModal());
    byId("remark").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      byId("answer").focus({ preventScroll: true });
    });
    startKeySwitch(byId("single-keys"), () => this.#drawClasses());
    onKeys((key) => this.#acts(key));
  }

  #acts(key) {
    if (byId("help-dialog").open || !byId("review").hidden || !this.#point) return null;
    const one = this.#sample.classes.find((c) => c.key === key);
    if (one) return () => this.choose(one.id);
    return {
      x: () => this.choose(null),
      s: () => this.skip(),
      u: () => this.undo(),
      r: () => byId("remark").focus(),
      c: () => this.#turnConfidence(),
      "[": () => this.view.step(-1),
      "]": () => this.view.step(1),
      escape: this.#first === null ? null : () => this.#ask(null),
    }[key];
  }

  get opinion() {
    return byId("opinions").querySelector("input:checked").value;
  }

  get blind() {
    return byId("blind").checked;
  }

  get path() {
    return `api/samples/${this.year}`;
  }

  /** Begin, or begin again after a choice of what is judged. */
  async restart() {
    this.#next = null;
    byId("review").hidden = true;
    byId("review-toggle").setAttribute("aria-expanded", "false");
    this.#work(async () => {
      await this.#count();
      byId("strata-choice").hidden = this.blind;
      const before = byId("stratum").value;
      byId("stratum").replaceChildren(h("option", { value: "" }, "all"), ...this.#sample.strata.map((one) =>
        h("option", { value: one.id, selected: String(one.id) === before }, `${one.name} (${one.judged} of ${one.points})`)));
      this.#drawClasses();
      await this.#advance(null);
    });
  }

  /** Do what waits for the server, one thing at a time: keys pressed meanwhile do nothing. */
  async #work(task) {
    if (this.#busy) return;
    this.#busy = true;
    byId("point").setAttribute("aria-busy", "true");
    try {
      await task();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say("work", error.message, "problem");
    } finally {
      this.#busy = false;
      byId("point").setAttribute("aria-busy", "false");
    }
  }

  async #count() {
    this.#sample = await get(this.path);
    const { judged, points, waiting, classes } = this.#sample;
    if (!classes.length) throw new ApiError("The map has no classes to choose from.", 0);
    byId("title").textContent = this.area.samples.length > 1 ? "Interpretation" : `Interpretation ${this.year}`;
    byId("progress-bar").max = points;
    byId("progress-bar").value = judged;
    byId("progress-text").textContent = `${judged} of ${points} judged, ${waiting[this.opinion]} to do`;
  }

  async #fetch(after) {
    return get(`${this.path}/next`, {
      after, opinion: this.opinion, blind: String(this.blind),
      stratum: this.blind ? "" : byId("stratum").value,
    });
  }

  /** Show the point after another one, and fetch the one after that. */
  async #advance(after) {
    const turn = (this.#turn += 1);
    const prepared = await this.#next;
    this.#next = null;
    const fits = prepared?.point && prepared.point.id !== after && prepared.point.opinion === this.opinion;
    const { point, message } = fits ? prepared : await this.#fetch(after);
    this.#show(point, message);
    if (!point) return;
    this.#next = this.#fetch(point.id).catch(() => null);
    this.#next.then((next) => {
      if (turn === this.#turn && next?.point) this.view.prepare(next.point);
    });
  }

  #show(point, message) {
    this.#point = point;
    this.#first = null;
    byId("point").hidden = byId("answer").hidden = !point;
    byId("nothing").hidden = Boolean(point);
    byId("nothing-text").textContent = message ?? "";
    if (!point) {
      say("point", message);
      return;
    }
    this.view.show(point);
    byId("point").dataset.point = point.id;
    byId("point-title").textContent = `The season of ${point.year}`;
    byId("remark").value = "";
    this.#setConfidence("high");
    this.#ask(null);
    const shown = document.activeElement;
    if (!shown || shown === document.body) byId("answer").focus({ preventScroll: true });
  }

  /** Ask for the class of the year, or, when that is given, for the one of the year before. */
  #ask(first) {
    this.#first = first;
    const before = this.#sample.asks_before;
    byId("question").textContent = first === null
      ? "What is in the outlined pixel?" : `And what was there in ${before}? Esc goes back.`;
    if (first !== null) say("question", byId("question").textContent);
    byId("cannot").hidden = first !== null;
  }

  #drawClasses() {
    if (!this.#sample) return;
    byId("classes").replaceChildren(...this.#sample.classes.map((one) => h("button", {
      type: "button", class: "button class", "data-class": one.id, "aria-keyshortcuts": one.key,
      onclick: () => this.choose(one.id),
    }, one.key ? h("kbd", {}, one.key.toUpperCase()) : null, swatch(one.color), h("span", {}, one.name))));
  }

  #setConfidence(value) {
    byId("confidence").querySelector(`[value="${value}"]`).checked = true;
  }

  get #confidence() {
    return byId("confidence").querySelector("input:checked").value;
  }

  #turnConfidence() {
    const next = CONFIDENCES[(CONFIDENCES.indexOf(this.#confidence) + 1) % CONFIDENCES.length];
    this.#setConfidence(next);
    say("confidence", { high: "Sure", medium: "Fairly sure", low: "Unsure" }[next]);
  }

  /** Give a class, or null where it cannot be judged, and go on. */
  choose(id) {
    if (!this.#point || this.#busy) return;
    if (this.#sample.asks_before && id !== null && this.#first === null) {
      this.#ask(id);
      return;
    }
    const point = this.#point;
    const seen = {
      point: point.id,
      mosaic_version: point.mosaic_version,
      class_id: this.#first ?? id,
      before_id: this.#first === null ? null : id,
      confidence: this.#confidence,
      remark: byId("remark").value.trim(),
      opinion: point.opinion,
      blind: point.blind,
      replaces: point.own?.id ?? "",
    };
    this.#work(async () => {
      say("work", "");
      const given = await this.#send("judgements", seen);
      this.#given.push(given.id);
      byId("undo").disabled = false;
      say("saved", `Saved: ${given.class_name || "cannot be judged"}${given.before_name ? `, before ${given.before_name}` : ""}`);
      await Promise.all([this.#count(), this.#advance(point.id)]);
    });
  }

  /** Send something until it has arrived. What may have arrived is sent again under its id. */
  async #send(kind, content) {
    const known = JSON.stringify([kind, content]);
    const id = this.#unsent.get(known) ?? newId();
    this.#unsent.set(known, id);
    let last = null;
    for (let tries = 0; tries < TRIES; tries += 1) {
      if (tries) await new Promise((resolve) => setTimeout(resolve, PAUSE * tries));
      try {
        const answer = await post(`${this.path}/${kind}`, { id, ...content });
        this.#unsent.delete(known);
        return answer;
      } catch (error) {
        if (!(error instanceof ApiError) || (error.status && error.status !== 503)) throw error;
        last = error;
        say("work", "Not saved yet, trying again", "busy");
      }
    }
    throw new ApiError(`Not saved. ${last.message} Press the key again to send it again.`, last.status);
  }

  skip() {
    if (!this.#point) return;
    const { id } = this.#point;
    this.#work(async () => {
      await this.#advance(id);
      say("saved", "Skipped");
    });
  }

  /** Take the last judgement back, and show its point again. */
  undo() {
    if (!this.#given.length) return;
    this.#work(async () => {
      const { point } = await this.#send("withdrawals", { withdraws: this.#given.at(-1) });
      this.#given.pop();
      byId("undo").disabled = !this.#given.length;
      this.#next = null;
      await this.#count();
      await this.#again(point, this.opinion);
      say("saved", "Taken back");
    });
  }

  async #again(id, opinion) {
    const query = { opinion, blind: String(this.blind) };
    this.#show(await get(`${this.path}/points/${id}`, query), null);
  }

  /** Show, or hide, what the judgements say up to now. */
  review(shown) {
    this.#work(async () => {
      byId("review-toggle").setAttribute("aria-expanded", String(shown));
      if (shown) {
        const [sample, review] = await Promise.all([get(this.path), get(`${this.path}/review`)]);
        byId("review").replaceChildren(
          ...reviewed(sample, review, (id, opinion) => this.#look(id, opinion)).flat().filter(Boolean));
      }
      byId("review").hidden = !shown;
      byId("point").hidden = byId("answer").hidden = shown || !this.#point;
      byId("nothing").hidden = shown || Boolean(this.#point);
      (shown ? byId("review") : byId("answer")).focus({ preventScroll: true });
    });
  }

  #look(id, opinion) {
    byId("opinions").querySelector(`[value="${opinion}"]`).checked = true;
    byId("review").hidden = true;
    byId("review-toggle").setAttribute("aria-expanded", "false");
    this.#next = null;
    this.#work(() => this.#again(id, opinion));
  }
}

/** Return an id by chance, also where the page came over plain http, which has no randomUUID. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");
}

async function post(path, content) {
  let response;
  try {
    response = await fetch(address(path), {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-LC-Platform": "1" },
      body: JSON.stringify(content),
    });
  } catch {
    throw new ApiError("The server does not answer.", 0);
  }
  if (!response.ok) throw new ApiError(await sentence(response), response.status);
  return response.json();
}

async function start() {
  let judging = null;
  startTheme((now) => judging?.view.setTheme(now));
  try {
    const area = await get("api/area");
    if (!area.samples.length) {
      throw new ApiError(area.maps.length
        ? `There is no reference sample yet. Draw one by \`lc-platform sample --year ${area.maps.at(-1)}\`.`
        : area.message ?? "There is no map to judge yet.", 404);
    }
    if (!area.may_judge) throw new ApiError("Nobody is logged in, and a judgement is somebody's. Log in first.", 401);
    judging = new Judging(area);
    await judging.restart();
  } catch (error) {
    byId("nothing").hidden = false;
    byId("nothing-text").textContent = error.message;
    byId("point").hidden = true;
    if (!(error instanceof ApiError)) throw error;
  }
}

start();
