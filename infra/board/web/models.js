// Models: what serves, what challenges it, how well it is calibrated, what drifts, and who changed what.

import { get } from "./api.js";
import { h, s, say, table } from "./dom.js";
import { number, time, words } from "./words.js";

const AGAIN_MS = 30_000;
const SIZE = 160;
const DAYS = 14;
const DAY_MS = 86_400_000;

export function models(root, signal) {
  const note = h("p", { class: "note", role: "status" }, "Loading …");
  const cards = h("div", { class: "cards" });
  const log = h("div", {});
  root.append(h("div", { class: "tools" }, h("h1", {}, "Models"), note), cards, log);

  async function load() {
    try {
      const told = await get("/v1/board/models");
      if (signal.aborted) return;
      say(note, told.models.length ? "" : "No model is known yet.");
      cards.replaceChildren(...told.models.map(card));
      const lines = told.log ?? [];
      log.replaceChildren(lines.length ? h("section", { class: "panel" }, h("h2", {}, "Promotion log"), table("Changes, the newest first", ["When", "Who", "What", "Model", "Why"], lines.map((one) => [time(one.at), one.who, words(one.what), one.model, one.why ?? "–"]))) : "");
    } catch (error) {
      if (!signal.aborted) say(note, `Not loaded: ${error.message}`);
    }
  }

  const again = setInterval(load, AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(again));
  load();
}

function card(model) {
  const silent = model.silent_in === "all" ? "everywhere" : model.silent_in?.join(", ");
  const measured = Object.entries(model.metrics ?? {}).filter(([, one]) => one !== null);
  return h("section", { class: "panel model" },
    h("h2", {}, words(model.name), " ", h("span", { class: "t-chip" }, model.kind), model.frozen ? h("span", { class: "t-chip t-flag" }, "Frozen") : null,
      silent ? h("span", { class: "t-chip t-silent" }, `Silent: ${silent}`) : null),
    h("ul", { class: "versions" }, model.versions.map((one) => h("li", { "data-state": one.state }, h("strong", {}, `v${one.version}`), ` ${one.state}`, one.since ? h("small", {}, ` since ${time(one.since)}`) : null))),
    h("div", { class: "model-plots" },
      model.calibration?.some(([, , n]) => n > 0) ? h("figure", {}, h("figcaption", {}, "Calibration: observed against predicted"), calibration(model.calibration)) : null,
      measured.length ? h("dl", { class: "measures" }, measured.map(([name, one]) => h("div", {}, h("dt", {}, words(name)), h("dd", {}, number(one, 3))))) : h("p", { class: "a-meta" }, "No live measures are published for it."),
    ),
    h("figure", {}, h("figcaption", {}, `Drift, last ${DAYS} days`), drift(model.drift ?? [])));
}

/** Points as large as their counts, against the diagonal. */
function calibration(groups) {
  const rows = groups.filter(([, , n]) => n > 0);
  const most = Math.max(...rows.map(([, , n]) => n), 1);
  const top = Math.min(1, Math.max(...rows.flatMap(([predicted, observed]) => [predicted, observed]), 0.1) * 1.1);
  const x = (share) => 20 + (share / top) * (SIZE - 26);
  const y = (share) => SIZE - 20 - (share / top) * (SIZE - 26);
  const far = rows.reduce((sum, [predicted, observed, n]) => sum + Math.abs(predicted - observed) * n, 0) / rows.reduce((sum, [, , n]) => sum + n, 0);
  return s("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, class: "plot", role: "img", "aria-label": `Calibration: on average ${number(far, 3)} from the diagonal, over ${rows.length} groups.` },
    s("path", { class: "plot-axis", d: `M20 6V${SIZE - 20}H${SIZE - 6}` }),
    s("text", { x: (SIZE + 14) / 2, y: SIZE - 6, "text-anchor": "middle" }, "predicted"),
    s("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${(SIZE - 14) / 2}) rotate(-90)` }, "observed"),
    s("path", { class: "plot-even", d: `M${x(0)} ${y(0)}L${x(top)} ${y(top)}` }),
    s("path", { class: "plot-line", d: rows.map(([predicted, observed], i) => `${i ? "L" : "M"}${x(predicted).toFixed(1)} ${y(observed).toFixed(1)}`).join("") }),
    rows.map(([predicted, observed, n]) => s("circle", { class: "plot-dot", cx: x(predicted), cy: y(observed), r: 2 + 4 * Math.sqrt(n / most) })),
    s("text", { x: SIZE - 6, y: SIZE - 6, "text-anchor": "end" }, `${Math.round(top * 100)} %`), s("text", { x: 18, y: SIZE - 6, "text-anchor": "end" }, "0"));
}

function drift(rows) {
  const end = Date.now();
  const shown = rows.filter((one) => end - Date.parse(one.at) < DAYS * DAY_MS);
  if (shown.length === 0) return h("p", { class: "a-meta" }, "No alarm of a drift detector.");
  const x = (at) => 200 - ((end - Date.parse(at)) / (DAYS * DAY_MS)) * 196;
  return h("div", {},
    s("svg", { viewBox: "0 0 204 22", class: "plot drift", "aria-hidden": "true" }, s("path", { class: "plot-axis", d: "M2 16H202" }), shown.map((one) => s("path", { class: "plot-mark", d: `M${x(one.at).toFixed(1)} 16l-4 -10h8z` }))),
    h("ul", { class: "drifts" }, shown.map((one) => h("li", {}, `${time(one.at)}: ${words(one.what)}`))));
}
