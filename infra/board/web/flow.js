// Flow: how full each unit is and will be, for a bed manager: census, fans of the forecast, shortfall, peak, quality.

import { get } from "./api.js";
import { chart } from "./charts.js";
import { h, say, table } from "./dom.js";
import { number, percent, time, words } from "./words.js";

const AGAIN_MS = 30_000;
const TONIGHT_H = 12;
const HOUR_MS = 3600_000;

export function flow(root, signal) {
  const state = { unit: null, charts: null };
  const note = h("p", { class: "note", role: "status" }, "Loading …");
  const as = h("p", { class: "note" });
  const units = h("div", {});
  const detail = h("div", { class: "stack" });
  const quality = h("details", { class: "panel" }, h("summary", {}, "How good the forecasts have been"), h("div", {}));
  root.append(h("div", { class: "tools" }, h("h1", {}, "Flow"), as, note), units, detail, quality);

  async function load() {
    try {
      const told = await get("/v1/board/flow");
      if (signal.aborted) return;
      say(as, `As of ${time(told.at)}`);
      say(note, told.units.length ? "" : "No unit has a forecast yet.");
      draw(told);
    } catch (error) {
      if (!signal.aborted) say(note, `Not loaded: ${error.message}`);
    }
  }

  function draw(told) {
    const all = [...told.units].sort((a, b) => (at(b, TONIGHT_H)?.shortfall ?? -1) - (at(a, TONIGHT_H)?.shortfall ?? -1));
    const [first] = all;
    if (first === undefined) return units.replaceChildren();
    const chosen = all.find((one) => one.unit === state.unit) ?? first;
    state.unit = chosen.unit;
    const focused = units.contains(document.activeElement) ? document.activeElement.dataset.unit : null;
    units.replaceChildren(overview(all, chosen.unit, (unit) => { state.unit = unit; draw(told); }));
    if (focused) units.querySelector(`[data-unit="${CSS.escape(focused)}"]`)?.focus();
    state.charts?.abort();
    state.charts = new AbortController();
    one(detail, chosen, state.charts.signal);
    quality.lastElementChild.replaceChildren(measures(told.quality, chosen.unit));
  }

  const again = setInterval(load, AGAIN_MS);
  signal.addEventListener("abort", () => {
    clearInterval(again);
    state.charts?.abort();
  });
  load();
}

const at = (unit, hours) => unit.ahead.find((one) => one.horizon_h >= hours) ?? unit.ahead[unit.ahead.length - 1];

function overview(all, chosen, pick) {
  const rows = all.map((unit) => {
    const soon = at(unit, TONIGHT_H);
    return [
      h("button", { type: "button", class: "link", "data-unit": unit.unit, "aria-pressed": String(unit.unit === chosen), onclick: () => pick(unit.unit) }, unit.unit),
      h("span", {}, fill(unit), ` ${unit.census}${unit.staffed === null ? "" : ` of ${unit.staffed}`}`),
      soon ? `${number(soon.beds.quantiles[1], 0)}–${number(soon.beds.quantiles[5], 0)}` : "–",
      risk(soon?.full), risk(soon?.shortfall),
      unit.peak_h === null ? "–" : `in ${unit.peak_h} h (${time(Date.parse(unit.made_at) + unit.peak_h * HOUR_MS)})`,
      soon?.nurses ? `${soon.nurses[1]}` : "–",
      unit.silent ? h("span", { class: "t-chip t-silent" }, "Silent mode") : "",
    ];
  });
  return table(`Units, the tightest in ${TONIGHT_H} hours first`, ["Unit", "Beds taken", `In ${TONIGHT_H} h (80 %)`, "Full", "Shortfall", "Fullest", "Nurses", "Remarks"], rows, { class: "flow" });
}

function fill(unit) {
  if (unit.staffed === null) return null;
  return h("meter", { min: 0, max: Math.max(unit.staffed, unit.census), value: unit.census, high: unit.staffed * 0.95, "aria-label": `${unit.census} of ${unit.staffed} beds` });
}

function risk(one) {
  if (one === null || one === undefined) return "–";
  const level = one >= 0.5 ? "high" : one >= 0.2 ? "medium" : "low";
  return h("span", { class: "level", "data-level": level }, `${percent(one)}${level === "high" ? " likely" : level === "medium" ? " possible" : ""}`);
}

function one(into, unit, signal) {
  const box = h("div", { class: "chart" });
  const moves = h("div", { class: "chart" });
  const heads = ["Ahead", "Beds", "80 % range", "Arrivals", "Discharges", "Full", "Shortfall", "Nurses"];
  const rows = unit.ahead.map((row) => [
    `${number(row.horizon_h)} h`, number(row.beds.mean), `${number(row.beds.quantiles[1], 0)}–${number(row.beds.quantiles[5], 0)}`,
    number(row.arrivals.mean), number(row.discharges.mean), risk(row.full), risk(row.shortfall), row.nurses ? row.nurses.join(" – ") : "–",
  ]);
  into.replaceChildren(
    h("section", { class: "panel" }, h("h2", {}, `${unit.unit}: beds taken, and what is ahead`),
      h("ul", { class: "legend" }, h("li", { "data-colour": "c1" }, "counted"), h("li", { "data-colour": "c2" }, "expected"), h("li", { "data-colour": "fan2" }, "50 %"), h("li", { "data-colour": "fan1" }, "95 %")), box),
    h("section", { class: "panel" }, h("h2", {}, "Arrivals and discharges an hour"), h("ul", { class: "legend" }, h("li", { "data-colour": "c3" }, "arrivals"), h("li", { "data-colour": "c4" }, "discharges")), moves),
    h("section", { class: "panel" }, table(`${unit.unit}, hours ahead`, heads, rows)),
  );
  const last = unit.hours[unit.hours.length - 1];
  const begin = last ? Date.parse(last[0]) + HOUR_MS : Date.parse(unit.made_at ?? 0);
  const ahead = (level) => [[begin, unit.census], ...unit.ahead.map((row) => [begin + row.horizon_h * HOUR_MS, row.beds.quantiles[level]])].map(text);
  const fan = [0, 2, 4, 6].map((level) => ({ label: `${[2.5, 25, 75, 97.5][[0, 2, 4, 6].indexOf(level)]} %`, colour: "--fan-line", width: 1, points: ahead(level), quiet: true }));
  const taken = [
    { label: "Counted", colour: "--c1", step: true, points: unit.hours.map(([hour, census]) => [hour, census]) },
    { label: "Expected", colour: "--c2", points: unit.course.map((mean, i) => text([begin + (i + 1) * HOUR_MS, mean])) },
    ...fan,
  ];
  const level = unit.staffed === null ? null : { value: unit.staffed, text: `${unit.staffed} staffed` };
  chart(box, { label: `Beds taken in ${unit.unit}`, lines: taken, level }, { height: 260, signal, y: [0, unit.staffed ?? 1], bands: [[5, 2, "--fan1"], [4, 3, "--fan2"]] });
  const moved = [["Arrivals", "--c3", 2], ["Discharges", "--c4", 3]].map(([label, colour, column]) => ({ label, colour, step: true, points: unit.hours.map((row) => [row[0], row[column]]) }));
  chart(moves, { label: `Arrivals and discharges in ${unit.unit}`, lines: moved }, { height: 140, signal, y: [0, 3] });
}

const text = ([ms, value]) => [new Date(ms).toISOString(), value];

function measures(all, unit) {
  const mine = all.filter((row) => row.unit === null || row.unit === unit);
  if (mine.length === 0) return h("p", {}, "Nothing has been judged yet.");
  const names = [...new Set(mine.flatMap((row) => Object.keys(row.measures)))];
  return table("Forecast quality, of all units together where no unit is named", ["Of", "Unit", "Forecaster", "Ahead", "Forecasts", ...names.map(words)], mine.map((row) => [words(row.target), row.unit ?? "all", words(row.forecaster ?? "–"), `${row.horizon_h} h`, number(row.forecasts ?? null), ...names.map((name) => number(row.measures[name], 3))]));
}
