// System: how the stream runs: rates, latencies, lag, dead letters, processes, and when each feed was last heard.

import { get } from "./api.js";
import { chart } from "./charts.js";
import { wall } from "./clock.js";
import { h, say, table } from "./dom.js";
import { store } from "./store.js";
import { number, span, time, words } from "./words.js";

const OLD_MS = 30_000;
const QUIET_MS = 15 * 60_000;
const HISTORY_MS = 15 * 60_000;
const CURVES = [["Events a second", 1, "--c1"], ["Latency, 99 % (s)", 2, "--c2"], ["Records not yet read", 3, "--c4"]];

export function system(root, signal) {
  const state = { history: [], shows: [] };
  const note = h("p", { class: "note", role: "status" }, "Loading …");
  const body = h("div", { class: "cards" });
  const charts = h("div", { class: "panel" });
  const as = h("p", { class: "note" });
  root.append(h("div", { class: "tools" }, h("h1", {}, "System"), as, note), charts, body);

  function show(told) {
    say(note, "");
    say(as, `As of ${time(told.at)}`);
    const at = wall();
    // Focus in a table that is made anew would be lost.
    const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    body.replaceChildren(...panels(told, at));
    if (focused) body.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  function drawHistory() {
    const contents = CURVES.map(([label, column, colour]) => ({ label, lines: [{ label, colour, points: state.history.map((row) => [row[0], row[column]]) }] }));
    if (state.shows.length) return state.shows.forEach((show, i) => show(contents[i]));
    const boxes = contents.map(() => h("div", { class: "chart" }));
    charts.replaceChildren(h("h2", {}, "Last 15 minutes"), h("div", { class: "smalls" }, boxes.map((box, i) => h("figure", { class: "small" }, h("figcaption", {}, CURVES[i][0]), box))));
    state.shows = boxes.map((box, i) => chart(box, contents[i], { signal, sync: "system", y: [0, 0.1] }));
  }

  function remember(told) {
    const p99 = Object.values(told.latency).map((one) => one.p99_s).filter((one) => one !== null);
    const sum = told.rates.reduce((total, one) => total + (one.per_s ?? 0), 0);
    const lag = Object.values(told.lag).reduce((total, one) => total + one, 0);
    state.history.push([told.at, sum, p99.length ? Math.max(...p99) : null, lag]);
    const begin = Date.parse(told.at) - HISTORY_MS;
    state.history = state.history.filter(([at]) => Date.parse(at) >= begin);
  }

  async function load() {
    try {
      const told = await get("/v1/board/system");
      if (signal.aborted) return;
      state.history = told.history ?? [];
      drawHistory();
      show(told);
    } catch (error) {
      if (!signal.aborted) say(note, `Not loaded: ${error.message}`);
    }
  }

  store.on(["system"], () => {
    remember(store.system);
    show(store.system);
    drawHistory();
  }, signal);
  load();
}

function panels(told, at) {
  const since = (one) => (one === null ? null : at - Date.parse(one));
  const ago = (one, limit) => {
    const ms = since(one);
    if (ms === null) return h("span", { class: "level", "data-level": "high" }, "never");
    return h("span", { class: "level", "data-level": ms > limit ? "high" : "low" }, `${span(ms / 1000)} ago${ms > limit ? " – silent" : ""}`);
  };
  const lagging = (one) => h("span", { class: "level", "data-level": one > 1000 ? "high" : "low" }, `${number(one)}${one > 1000 ? " – behind" : ""}`);
  const some = (caption, heads, rows, none) => h("section", { class: "panel" }, rows.length ? table(caption, heads, rows) : [h("h2", {}, caption), h("p", { class: "a-meta" }, none)]);
  const s3 = (one) => (one === null || one === undefined ? "–" : `${number(one * 1000, 0)} ms`);
  return [
    some("Feeds", ["Feed", "Last message", "A minute"], told.feeds.map((one) => [one.source, ago(one.at, QUIET_MS), number(one.per_min)]), "Nothing has been heard from any feed."),
    some("Rates", ["Topic", "A second"], told.rates.map((one) => [one.topic, number(one.per_s)]), "Nothing moves."),
    some("Latency", ["Topic", "Median", "99 %"], Object.entries(told.latency).map(([topic, one]) => [topic, s3(one.p50_s), s3(one.p99_s)]), "Not measured yet."),
    some("Lag", ["Topic", "Records not yet read"], Object.entries(told.lag).map(([topic, one]) => [topic, lagging(one)]), "Not measured yet."),
    some("Dead letters", ["Topic", "Reason", "In all", "A minute"], told.dead.map((one) => [one.topic, words(one.reason), number(one.total), number(one.per_min)]), "None."),
    some("Processes", ["Process", "Role", "Started", "Heard"], told.processes.map((one) => [one.process.slice(0, 8), one.role, time(one.started_at), one.silent ? h("span", { class: "level", "data-level": "high" }, `silent for ${span(since(one.at) / 1000)}`) : ago(one.at, OLD_MS)]), "None has been heard."),
  ];
}
