// Alerts: the live list, the worst and unanswered first, with what a person can answer.

import { buttons, mayAnswer } from "./answer.js";
import { now } from "./clock.js";
import { h, say, Slot } from "./dom.js";
import { arrange } from "./order.js";
import { paint } from "./paint.js";
import { unitPicker } from "./scope.js";
import { compareAlerts, isEnded, store } from "./store.js";
import { timing } from "./tile.js";
import { code, PRIORITY, PRIORITY_SIGN, sentence, time, words } from "./words.js";

const STATE = {
  raised: "Raised", escalated: "Escalated", acknowledged: "Acknowledged", snoozed: "Snoozed",
  resolved: "Resolved", retracted: "Retracted", expired: "Expired", closed: "Closed",
};
const FILTERS = {
  all: ["All open", () => true],
  unanswered: ["Unanswered", (alert) => alert.state === "raised" || alert.state === "escalated"],
  mine: ["Mine", (alert) => alert.assigned_to === store.me.name],
};

class Line {
  constructor(alert, said) {
    this.alert = alert;
    const slot = (tag, attributes, ...children) => new Slot(h(tag, attributes, ...children));
    this.sign = slot("span", { class: "t-sign", "aria-hidden": "true" });
    this.priority = slot("span", { class: "a-priority" });
    this.bed = slot("a", { class: "a-bed", href: `#/patient/${encodeURIComponent(alert.patient_id)}` });
    this.reason = slot("p", { class: "a-reason" });
    this.state = slot("span", { class: "a-state" });
    this.timer = slot("span", { class: "a-timer" });
    this.meta = slot("p", { class: "a-meta" });
    this.advice = slot("p", { class: "a-advice" });
    this.stale = slot("span", { class: "t-chip t-stale", hidden: true });
    this.silent = slot("span", { class: "t-chip t-silent", hidden: true });
    this.buttons = buttons(() => this.alert, (text) => said(text, this));
    this.row = slot("div", { class: "row", role: "group" }, mayAnswer() ? Object.values(this.buttons) : []);
    this.root = slot(
      "li",
      { class: "alert" },
      h("div", { class: "a-mark" }, this.sign.element, this.priority.element),
      h("div", { class: "a-body" },
        h("h2", { class: "a-head" }, this.bed.element), this.reason.element,
        h("p", { class: "a-line" }, this.state.element, this.timer.element, this.stale.element, this.silent.element),
        this.meta.element, this.advice.element, this.row.element),
    );
    this.element = this.root.element;
    this.show(alert);
  }

  show(alert) {
    this.alert = alert;
    const ended = isEnded(alert);
    this.sign.say(PRIORITY_SIGN[alert.priority]);
    this.priority.say(PRIORITY[alert.priority]);
    const place = `${alert.bed ? `Bed ${alert.bed}` : "No bed"}${alert.unit ? ` · ${alert.unit}` : ""} · ${words(alert.condition)}`;
    this.bed.say(place);
    this.row.mark("aria-label", `Answers, ${place}`);
    this.reason.say(sentence(alert));
    this.state.say(`${STATE[alert.state]}${alert.tier ? `, tier ${alert.tier}` : ""}`);
    this.meta.say(
      [
        `since ${time(alert.raised_at)}`,
        alert.to?.length ? `told: ${alert.to.map((role) => role.replaceAll("_", " ")).join(", ")}` : "",
        alert.assigned_to ? `${alert.assigned_to} has it` : ended ? "" : "nobody has it yet",
        alert.code_status ? `code status ${code(alert.code_status)}` : "",
        alert.useful === undefined || alert.useful === null ? "" : alert.useful ? "found useful" : "found not useful",
      ].filter(Boolean).join(" · "),
    );
    this.advice.say(alert.suggestion ? `${alert.suggestion.text} (${alert.suggestion.source})` : "");
    this.stale.say("Stale: its values are missing by now");
    this.stale.mark("hidden", !alert.stale);
    this.silent.say("Silent mode");
    this.silent.mark("hidden", !alert.silent);
    this.root.mark("data-priority", alert.priority);
    this.root.mark("data-state", alert.state);
    for (const [name, button] of Object.entries(this.buttons)) {
      button.hidden = ended && name !== "useful" && name !== "useless";
    }
    this.buttons.acknowledge.hidden ||= alert.state === "acknowledged";
    this.buttons.useful.setAttribute("aria-pressed", alert.useful === true);
    this.buttons.useless.setAttribute("aria-pressed", alert.useful === false);
    this.tick();
  }

  tick() {
    this.timer.say(isEnded(this.alert) ? `at ${time(this.alert.observed_at)}` : timing(this.alert, now()).replace(/^snoozed /, ""));
  }
}

export function alerts(root, signal) {
  const lines = new Map();
  const state = { filter: "all", priority: "" };
  const list = h("ol", { class: "alerts", "aria-label": "Open alerts" });
  const ended = h("ol", { class: "alerts", "aria-label": "Ended lately" });
  const endedBox = h("details", { class: "panel", hidden: true }, h("summary", {}, "Ended since this page is open"), ended);
  const empty = h("p", { class: "empty", hidden: true }, "No open alerts match.");
  const note = h("p", { class: "note", role: "status" });
  const summary = h("p", { class: "summary" });
  const pick = (name, options, label) =>
    h("label", { class: "field" }, h("span", {}, label), h("select", { onchange: (event) => { state[name] = event.target.value; order(); } },
      options.map(([value, text]) => h("option", { value }, text))));
  root.append(
    h("div", { class: "tools" },
      h("h1", {}, "Alerts"),
      unitPicker(signal),
      pick("filter", Object.entries(FILTERS).map(([key, [text]]) => [key, text]), "Show"),
      pick("priority", [["", "All priorities"], ...Object.entries(PRIORITY)], "Priority"),
      note, summary),
    mayAnswer() ? "" : h("p", { class: "note" }, "This token reads alerts; answering is for clinicians."),
    empty, list, endedBox,
  );

  const said = (text) => say(note, text);
  const line = (alert) => {
    let one = lines.get(alert.alert_id);
    if (one === undefined) lines.set(alert.alert_id, (one = new Line(alert, said)));
    else if (one.alert !== alert) one.show(alert);
    return one;
  };

  function order() {
    paint("alerts.order", () => {
      const [, matches] = FILTERS[state.filter];
      const shown = [...store.alerts.values()].filter((alert) => matches(alert) && (!state.priority || alert.priority === state.priority)).sort(compareAlerts);
      const open = new Set([...shown, ...store.ended].map((alert) => alert.alert_id));
      arrange(list, shown.map((alert) => line(alert).element));
      arrange(ended, store.ended.map((alert) => line(alert).element));
      for (const id of lines.keys()) if (!open.has(id)) lines.delete(id);
      endedBox.hidden = store.ended.length === 0;
      empty.hidden = shown.length > 0;
      const unanswered = [...store.alerts.values()].filter(FILTERS.unanswered[1]).length;
      say(summary, `${store.alerts.size} open · ${unanswered} unanswered`);
    }, signal);
  }

  store.on(["alerts", "reset"], order, signal);
  const ticking = setInterval(() => paint("alerts.tick", () => lines.forEach((one) => one.tick()), signal), 1000);
  signal.addEventListener("abort", () => clearInterval(ticking));
  order();
}

