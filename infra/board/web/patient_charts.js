// The charts of one patient: panels under each other on the same time axis, one cursor through all, and alert marks.

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { measure, percent, PRIORITY_SIGN, remark, words } from "./words.js";

const SYNC = "patient";
const CALLS = new Set(["raised", "raised_again", "worsened", "escalated"]);
const PANELS = [
  ["Pulse and blood pressure", [["heart_rate_bpm", "Heart rate /min", "--c1"], ["systolic_mmhg", "Systolic mmHg", "--c2"], ["diastolic_mmhg", "Diastolic mmHg", "--c3"]], [40, 160]],
  ["Breathing", [["respiratory_rate_per_min", "Respiratory rate /min", "--c1"]], [8, 30]],
  ["Oxygen saturation, %", [["spo2_percent", "SpO₂ %", "--c2"]], [85, 100]],
  ["Temperature, °C", [["temperature_celsius", "Temperature °C", "--c4"]], [35.5, 39]],
];

// As many as there are colours; all of them are in the numbers.
const SCORES = ["news2", "qsofa", "sofa", "sirs", "mews"];

/** Vitals, scores and laboratory results, as `group`. */
export function course(found, range) {
  const panels = [];
  for (const [title, fields, y] of PANELS) {
    const lines = fields.filter(([field]) => found.vitals[field]?.length).map(([field, label, colour]) => ({ label, colour, points: found.vitals[field], spanGaps: false, dots: found.vitals[field].length < 60 }));
    if (lines.length) panels.push(panel(title, lines, { y }));
  }
  const scores = SCORES.filter((name) => found.scores[name]?.length).map((name) => [name, found.scores[name]]);
  if (scores.length) {
    panels.push(panel("Scores", scores.map(([name, points], i) => ({ label: words(name), colour: `--c${(i % 5) + 1}`, points, step: true })), { y: [0, 8] }));
  }
  for (const [analyte, one] of Object.entries(found.labs)) {
    if (one.points.length > 1) panels.push(panel([words(analyte), measure(one.unit)].filter(Boolean).join(", "), [{ label: words(analyte), colour: "--c5", points: one.points, dots: true }], { small: true, lab: one }));
  }
  return group("Course", panels, marksOf(found), range);
}

/** The models' answers. */
export function predictions(found, range) {
  const lines = found.predictions.filter((one) => one.points.length).map((one, i) => ({
    label: `${words(one.model)} (${one.horizon_h} h)${one.silent ? ", silent" : ""}`,
    colour: `--c${(i % 5) + 1}`,
    points: one.points,
    dash: one.silent ? [6, 4] : undefined,
  }));
  const panels = lines.length ? [panel("Predicted risk, calibrated", lines, { y: [0, 0.4], tick: percent })] : [];
  return group("Predictions", panels, marksOf(found), range);
}

function panel(title, lines, options) {
  const box = h("div", { class: "chart" });
  const legend = lines.length > 1 ? h("ul", { class: "legend" }, lines.map((line, i) => h("li", { "data-colour": line.colour.slice(2), "data-n": i }, line.label))) : null;
  return { title, lines, options, box, element: h("figure", { class: options.small ? "small" : null }, h("figcaption", {}, title, legend, remarks(options.lab)), box) };
}

function remarks(lab) {
  const [, , flag, preliminary] = lab?.points[lab.points.length - 1] ?? [];
  const text = remark(flag, preliminary);
  return text ? h("span", { class: "t-chip t-flag" }, text) : null;
}

/**
 * Panels under each other: `element`; `draw(signal)` once it is in the page, until `signal` aborts; `show(other)` shows
 * what another group says in these charts, which may be where its `key` is the same.
 */
function group(title, panels, marks, range) {
  const large = panels.filter((one) => !one.options.small);
  const small = panels.filter((one) => one.options.small);
  const element = h("section", { class: "panel charts" }, h("h2", {}, title), panels.length ? null : h("p", { class: "empty" }, "Nothing yet."),
    large.map((one) => one.element), small.length ? h("div", { class: "smalls" }, small.map((one) => one.element)) : null);
  const key = [title, ...panels.flatMap((one) => [one.element.textContent, ...one.lines.map((line) => line.label)])].join("\n");
  const contents = panels.map(({ title: label, lines }) => ({ label, lines, marks, range }));
  let shows = [];
  const draw = (signal) => {
    shows = panels.map(({ box, options: { y = null, small: low, tick = null } }, i) => chart(box, contents[i], { y, sync: SYNC, height: low ? 110 : 130, signal, tick }));
  };
  const show = (other) => shows.forEach((one, i) => one(other.contents[i]));
  return { element, key, contents, draw, show };
}

function marksOf(found) {
  return found.alerts.flatMap(({ marks }) => marks.filter(([, transition]) => CALLS.has(transition)).map(([at, transition, priority]) => ({ at, priority, sign: PRIORITY_SIGN[priority], dash: transition !== "raised" })));
}
