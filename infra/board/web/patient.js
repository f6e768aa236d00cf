// Patient: all that is known of one patient on one time axis, with the marks of alerts; why a model says what it says.

import { get } from "./api.js";
import { buttons, mayAnswer } from "./answer.js";
import { now } from "./clock.js";
import { course, predictions } from "./patient_charts.js";
import { film } from "./film.js";
import { h, say, table } from "./dom.js";
import { store } from "./store.js";
import { signals, Tile } from "./tile.js";
import { PRIORITY, PRIORITY_SIGN, measure, number, percent, remark, sentence, time, words } from "./words.js";

const AGAIN_MS = 10_000;
const NAME_MS = 60_000;

export function patient(root, signal, id) {
  const state = { hours: 24, inner: null, drawn: [], filming: null, filmed: "", asked: 0, timer: null };
  const path = `/v1/board/patients/${encodeURIComponent(id)}`;
  const title = h("h1", { tabindex: "-1" }, "Patient");
  const note = h("p", { class: "note", role: "status" }, "Loading …");
  const name = h("p", { class: "p-name", "aria-live": "polite" });
  const now_ = h("ul", { class: "grid one", "aria-label": "Now" });
  const open = h("div", { class: "stack" });
  const body = h("div", { class: "stack" });
  const looks = h("details", { class: "panel", ontoggle: () => looks.open && showLooks() }, h("summary", {}, "Who looked at this patient"), h("div", {}));
  const hours = h("label", { class: "field" }, h("span", {}, "Shown"), h("select", { onchange: (event) => { state.hours = Number(event.target.value); load(); } },
    [6, 12, 24].map((one) => h("option", { value: one, selected: one === 24 }, `${one} hours`))));
  const tile = new Tile(id);
  root.append(
    h("div", { class: "tools" }, h("a", { class: "back", href: "#/ward" }, "← Ward"), title,
      store.me.names ? h("button", { type: "button", onclick: showName }, "Show name for a minute") : null, name, hours, note),
    h("div", { class: "patient" }, h("aside", { class: "stack", "aria-label": "Now" }, now_, open), body),
  );
  if (store.me.roles.some((role) => role === "clinician" || role === "operator")) root.append(looks);

  async function load() {
    state.asked = performance.now();
    try {
      const found = await get(`${path}?hours=${state.hours}`);
      if (signal.aborted) return;
      draw(found);
      say(note, "");
    } catch (error) {
      if (signal.aborted) return;
      say(note, error.status === 404 ? "There is no such patient among those you may see." : `Not loaded: ${error.message}`);
      if (error.status === 0) again();
    }
  }

  function again() {
    state.timer ??= setTimeout(() => { state.timer = null; load(); }, Math.max(0, state.asked + AGAIN_MS - performance.now()));
  }

  // Charts go on in place while they are the same ones; what a person has opened or reads stays.
  function draw(found) {
    show(store.tiles.get(id) ?? found.tile);
    const to = now() / 1000;
    const range = [to - state.hours * 3600, to];
    const told = [course(found, range), predictions(found, range)];
    if (state.words === undefined) {
      state.words = h("div", { class: "stack" });
      state.charts = h("div", { class: "stack" });
      state.films = h("section", { class: "stack" });
      body.replaceChildren(state.charts, state.words, state.films, h("div", { id: "moves" }));
    }
    showFilms(found.findings);
    if (told.every((one, i) => one.key === state.drawn[i]?.key)) state.drawn.forEach((one, i) => one.show(told[i]));
    else drawAnew(told);
    const opened = new Set([...state.words.querySelectorAll("details[open]")].map((one) => one.dataset.key));
    state.words.replaceChildren(...why(found), numbers(found));
    for (const one of state.words.querySelectorAll("details")) one.open = opened.has(one.dataset.key);
    body.querySelector("#moves").replaceChildren(found.moves.length ? table("Where the patient was", ["From", "Unit", "Bed"], found.moves.map(([at, unit, bed]) => [time(at), unit ?? "–", bed ?? "–"])) : "");
  }

  function drawAnew(told) {
    state.inner?.abort();
    state.inner = new AbortController();
    state.drawn = told;
    state.charts.replaceChildren(...told.map((one) => one.element));
    for (const one of told) one.draw(state.inner.signal);
  }

  function showFilms(findings) {
    const key = findings.map((finding) => finding.finding_id).join();
    if (key === state.filmed) return;
    state.filmed = key;
    state.filming?.abort();
    state.filming = new AbortController();
    state.films.replaceChildren(h("h2", {}, "Films"), ...findings.map((finding) => film(finding, state.filming.signal)));
  }

  function show(told) {
    if (told === undefined || told === null) return;
    tile.take(told);
    tile.draw(true);
    tile.bed.element.removeAttribute("href");
    if (tile.element.parentNode === null) now_.append(tile.element);
    say(title, `Bed ${told.bed ?? "not known"}, ${told.unit ?? "no unit"}`);
    showOpen();
  }

  function showOpen() {
    const mine = [...store.alerts.values()].filter((alert) => alert.patient_id === id);
    const key = mine.map((alert) => `${alert.alert_id} ${alert.number}`).join();
    if (key === state.open) return;
    state.open = key;
    open.replaceChildren(...mine.map(alertPanel));
  }

  function alertPanel(alert) {
    const said = h("p", { class: "note", role: "status" });
    const all = mayAnswer() ? buttons(() => store.alerts.get(alert.alert_id) ?? alert, (text) => say(said, text)) : null;
    if (all && alert.state === "acknowledged") delete all.acknowledge;
    return h("section", { class: "alert", "data-priority": alert.priority, "data-state": alert.state },
      h("div", { class: "a-body" },
        h("h2", { class: "a-head" }, h("span", { class: "t-sign", "aria-hidden": "true" }, PRIORITY_SIGN[alert.priority]), ` ${PRIORITY[alert.priority]} priority · ${words(alert.condition)}`),
        h("p", { class: "a-reason" }, sentence(alert)),
        h("p", { class: "a-meta" }, `${words(alert.state)} · since ${time(alert.raised_at)}${alert.assigned_to ? ` · ${alert.assigned_to} has it` : " · nobody has it yet"}`,
          alert.silent ? h("span", { class: "t-chip t-silent" }, "Silent mode") : null),
        alert.suggestion ? h("p", { class: "a-advice" }, `${alert.suggestion.text} (${alert.suggestion.source})`) : null,
        all ? h("div", { class: "row", role: "group", "aria-label": "Answers" }, Object.values(all)) : null, said));
  }

  async function showName() {
    try {
      const told = await get(`${path}/name`);
      say(name, `${told.name}, ${told.second.kind === "born" ? "born" : "number"} ${told.second.value}`);
      setTimeout(() => say(name, ""), NAME_MS);
      say(note, "It is recorded that you looked.");
    } catch (error) {
      say(note, `The name cannot be shown: ${error.message}`);
    }
  }

  async function showLooks() {
    const into = looks.lastElementChild;
    try {
      const told = await get(`${path}/looks`);
      into.replaceChildren(told.looks.length ? table("Looks, the newest first", ["When", "Who", "What", "Why"], told.looks.map((one) => [time(one.at), one.who, words(one.what), one.why ?? "–"])) : h("p", {}, "Nobody has looked yet."));
    } catch (error) {
      into.replaceChildren(h("p", { class: "wrong" }, error.message));
    }
  }

  store.on(["tiles"], ({ changed, gone }) => {
    if (changed.includes(id)) {
      show(store.tiles.get(id));
      again();
    }
    if (gone.includes(id)) say(note, "The patient has left.");
  }, signal);
  store.on(["reset", "alerts"], () => { showOpen(); if (tile.tile) tile.tick(); }, signal);
  const ticking = setInterval(() => tile.tile && tile.tick(), 1000);
  signal.addEventListener("abort", () => {
    clearInterval(ticking);
    clearTimeout(state.timer);
    state.inner?.abort();
    state.filming?.abort();
  });
  load();
}

/** Why each model says what it says, in sentences. */
function why(found) {
  return found.predictions.map(({ model, version, target, horizon_h, silent, latest }) => {
    const answer = latest === null ? "no answer yet" : latest.quality === "abstained" ? `no answer: ${latest.reason ?? "abstained"}` : percent(latest.probability);
    const list = latest?.contributions ?? [];
    const most = Math.max(...list.map((one) => Math.abs(one.contribution)), 0);
    return h("section", { class: "panel why" },
      h("h2", {}, `${words(target)} within ${number(horizon_h)} h: ${answer}`),
      h("p", { class: "a-meta" }, `${words(model)}, version ${version}`, silent ? h("span", { class: "t-chip t-silent" }, "Silent mode") : null,
        latest?.quality === "degraded" ? h("span", { class: "t-chip t-degraded" }, `Degraded: ${latest.reason ?? ""}`) : null),
      list.length ? h("ul", { class: "reasons" }, list.map((one) => h("li", { "data-way": one.contribution >= 0 ? "up" : "down" },
        h("meter", { min: 0, max: most || 1, value: Math.abs(one.contribution), "aria-hidden": "true" }),
        h("span", {}, `${one.contribution >= 0 ? "▲" : "▼"} ${one.words}`)))) : null,
      latest?.missing.length ? h("p", { class: "a-meta" }, `Not known, and not assumed: ${latest.missing.map(words).join(", ")}.`) : null);
  });
}

/** The numbers of the charts as tables. */
function numbers(found) {
  const lab = Object.entries(found.labs).map(([analyte, one]) => {
    const [at, last, flag, preliminary] = one.points[one.points.length - 1] ?? [null, null, null, false];
    return [words(analyte), `${number(last, 2)} ${measure(one.unit)}`, time(at), remark(flag, preliminary) || "–"];
  });
  return h("details", { class: "panel", "data-key": "numbers" }, h("summary", {}, "The same in numbers"),
    found.tile === null ? null : table("Newest values", ["Signal", "Value", "When"], signals(found.tile).map(([what, text, at]) => [what, text, time(at)])),
    lab.length ? table("Newest laboratory results", ["Analyte", "Result", "Taken", "Remarks"], lab) : null,
    table("Scores", ["Score", "Newest", "When"], Object.entries(found.scores).filter(([, points]) => points.length).map(([what, points]) => {
      const [at, one, complete] = points[points.length - 1];
      return [words(what), `${complete || one === null ? "" : "≥ "}${number(one)}`, time(at)];
    })));
}
