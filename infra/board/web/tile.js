// One bed. The elements are made once; later only texts and attributes that differ are written.

import { now } from "./clock.js";
import { h, s, Slot } from "./dom.js";
import { ARROW, direction, HEIGHT, path, WIDTH } from "./spark.js";
import { store } from "./store.js";
import { age, cause, code, PARTS, percent, phrase, PRIORITY, PRIORITY_SIGN, sexShort, time, timer, value, words } from "./words.js";

const BAND = { high: "high", medium: "medium", low_medium: "low–med.", low: "low" };
const SEVERITY = { high: 3, medium: 2, low_medium: 1, low: 0 };

export class Tile {
  constructor(id) {
    this.id = id;
    this.tile = null;
    /** Whether something was taken in that is not shown yet. */
    this.due = false;
    /** When it was last brought up to date, by performance.now(). */
    this.drawn = 0;
    this.make();
  }

  make() {
    const slot = (tag, attributes, ...children) => new Slot(h(tag, attributes, ...children));
    this.bed = slot("a", { class: "t-bed", href: `#/patient/${encodeURIComponent(this.id)}` });
    this.unit = slot("span", { class: "t-unit" });
    this.person = slot("span", { class: "t-person" });
    this.known = slot("div", { class: "t-name" });
    this.code = slot("span", { class: "t-chip t-code" });
    this.newsNumber = slot("span", { class: "t-news-n" });
    this.newsBand = slot("span", { class: "t-cap" });
    this.news = slot("div", { class: "t-news" }, this.newsNumber.element, this.newsBand.element);
    this.percent = slot("span", { class: "t-pct" });
    this.risk = slot("span", { class: "t-cap" });
    this.line = new Slot(s("path", { class: "t-line" }));
    const spark = s("svg", { class: "t-spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.line.element);
    this.riskBox = slot("div", { class: "t-risk" }, this.percent.element, spark, this.risk.element);
    this.parts = PARTS.map(([field, short, long]) => {
      const one = { field, value: slot("span", { class: "p-v" }), foot: slot("span", { class: "p-a" }) };
      one.cell = slot("div", { class: "p" }, h("abbr", { class: "p-n", title: long }, short), one.value.element, one.foot.element);
      return one;
    });
    this.sign = slot("span", { class: "t-sign", "aria-hidden": "true" });
    this.reason = slot("span", { class: "t-reason" });
    this.timer = slot("span", { class: "t-timer" });
    this.alert = slot("div", { class: "t-alert" }, this.sign.element, this.reason.element);
    this.assigned = slot("span", { class: "t-assigned" });
    this.flags = ["stale", "degraded", "silent"].map((flag) => [flag, slot("span", { class: `t-chip t-flag t-${flag}`, hidden: true })]);
    this.root = slot(
      "li",
      { class: "tile", id: `tile-${this.id}` },
      h("div", { class: "t-head" }, this.bed.element, this.unit.element, this.person.element, this.code.element),
      this.known.element,
      h("div", { class: "t-main" }, this.news.element, this.riskBox.element),
      h("div", { class: "t-parts" }, this.parts.map((part) => part.cell.element)),
      this.alert.element,
      h("div", { class: "t-foot" }, this.timer.element, this.assigned.element, this.flags.map(([, one]) => one.element)),
    );
    this.element = this.root.element;
    this.element.tile = this;
  }

  /** Takes in what a tile says, without showing it; whether it has become worse. */
  take(tile) {
    const before = this.tile;
    this.tile = tile;
    this.due = true;
    return before !== null && worse(before, tile);
  }

  /** Shows what was taken in. */
  draw(severalUnits) {
    const { tile } = this;
    this.due = false;
    this.bed.say(tile.bed ?? tile.room ?? "no bed");
    this.unit.say(severalUnits ? (tile.unit ?? "") : "");
    this.person.say([tile.age_years === null ? "" : Math.floor(tile.age_years), sexShort(tile.sex)].join(" ").trim());
    const orders = tile.comfort_until ? "Comfort care" : tile.code_status && tile.code_status !== "full" && tile.code_status !== "unknown" ? code(tile.code_status) : "";
    this.code.say(orders);
    this.code.mark("hidden", orders === "");
    this.showNews(tile.news2);
    this.showRisk(tile.risk);
    this.root.mark("data-priority", tile.priority ?? "none");
    this.flag("stale", tile.stale, "Stale");
    this.flag("degraded", tile.degraded, "Degraded");
    this.flag("silent", tile.silent, "Silent");
    this.root.mark("data-stale", tile.stale);
    this.root.mark("data-silent", tile.silent);
    this.tick();
  }

  flag(name, on, text) {
    const [, one] = this.flags.find(([flag]) => flag === name);
    if (on) one.say(text);
    one.mark("hidden", !on);
  }

  showNews(news) {
    const unusable = news === null || news.value === null || news.not_applicable !== null;
    const bound = !unusable && !news.complete;
    this.newsNumber.say(unusable ? "–" : `${bound ? "≥ " : ""}${news.value}`);
    this.newsBand.say(news?.not_applicable ? "NEWS2 not for this patient" : unusable ? "NEWS2 not known" : `NEWS2 ${BAND[news.band] ?? ""}`);
    this.news.mark("data-band", unusable ? "none" : (news.band ?? "none"));
    this.news.mark("data-bound", bound);
    this.root.mark("data-band", unusable ? "none" : (news.band ?? "none"));
  }

  showRisk(risk) {
    this.riskBox.mark("data-quality", risk?.quality ?? "none");
    if (risk === null) {
      this.percent.say("–");
      this.risk.say("no risk model");
      this.line.mark("d", "");
      return;
    }
    const way = direction(risk.trend);
    this.percent.say(risk.quality === "abstained" ? "no answer" : percent(risk.probability));
    this.risk.say(risk.quality === "abstained" ? (risk.reason ?? "abstained") : `${words(risk.model)} ${way ? `${ARROW[way]} ${way}` : ""}`);
    this.line.mark("d", path(risk.trend));
  }

  /** What changes with time alone: ages and timers. */
  tick() {
    const { tile } = this;
    const at = now();
    this.drawn = performance.now();
    const missing = new Set(tile.news2?.missing);
    for (const part of this.parts) {
      const one = tile.values[part.field];
      const points = tile.news2?.parts[part.field];
      part.value.say(one === undefined ? "–" : value(part.field, one.value));
      const old = one === undefined ? "none" : age(at - Date.parse(one.at));
      part.foot.say(points ? `${old === "now" ? "" : old} +${points}` : old);
      part.cell.mark("data-points", points ?? "");
      part.cell.mark("data-old", missing.has(part.field));
    }
    this.showAlert(at);
    this.label();
  }

  showAlert(at) {
    const worst = store.alerts.get(this.tile.alerts[0]);
    const more = this.tile.alerts.length - 1;
    this.alert.mark("data-priority", worst?.priority ?? "none");
    this.alert.mark("data-answered", worst !== undefined && (worst.state === "acknowledged" || worst.state === "snoozed"));
    this.sign.say(worst ? PRIORITY_SIGN[worst.priority] : "");
    this.reason.say(worst ? `${cause(worst)}${more > 0 ? ` (+${more} more)` : ""}` : "No open alerts");
    this.timer.say(worst ? timing(worst, at) : "");
    this.assigned.say(worst?.assigned_to ? `${worst.assigned_to} has it` : worst ? "nobody has it yet" : "");
    this.assigned.mark("data-nobody", worst !== undefined && !worst.assigned_to);
  }

  showName(name) {
    this.known.say(name ? `${name.name} · ${name.second.kind === "born" ? "b. " : ""}${name.second.value}` : "");
  }

  label() {
    const { tile } = this;
    const news = tile.news2;
    const said = [
      `Bed ${tile.bed ?? "not known"}`,
      tile.unit ?? "",
      news === null || news.value === null ? "NEWS2 not known" : `NEWS2 ${news.complete ? "" : "at least "}${news.value}`,
      tile.risk?.quality === "ok" ? `${words(tile.risk.model)} ${percent(tile.risk.probability)}` : "no risk answer",
      tile.alerts.length === 0 ? "no open alerts" : tile.priority ? `${tile.alerts.length} open, worst ${PRIORITY[tile.priority].toLowerCase()} priority` : `${tile.alerts.length} open in silence`,
      tile.stale ? "stale" : "",
      tile.degraded ? "degraded" : "",
      tile.silent ? "silent mode" : "",
    ];
    this.bed.mark("aria-label", said.filter(Boolean).join(", "));
  }
}

/** How long an alert has been or has: what somebody must know at a glance. */
export function timing(alert, at) {
  if (alert.state === "acknowledged" || alert.state === "snoozed") {
    return `${alert.state === "snoozed" ? "snoozed" : "in hand"}${alert.until ? ` to ${time(alert.until)}` : ""}`;
  }
  if (alert.next_at) {
    const left = Date.parse(alert.next_at) - at;
    return left > 0 ? `escalates ${timer(left)}` : "escalation due";
  }
  return `open ${timer(at - Date.parse(alert.raised_at))}`;
}

function worse(before, tile) {
  const order = ["none", "low", "medium", "high"];
  return (
    order.indexOf(tile.priority ?? "none") > order.indexOf(before.priority ?? "none") ||
    (SEVERITY[tile.news2?.band] ?? 0) > (SEVERITY[before.news2?.band] ?? 0)
  );
}

/** The signals of a tile as [name, phrase, time], for those who read them as text. */
export function signals(tile) {
  return PARTS.map(([field, , long]) => [long, phrase(field, tile.values[field]?.value), tile.values[field]?.at ?? null]);
}
