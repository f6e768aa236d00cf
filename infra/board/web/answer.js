// Answers to an alert: acknowledge, snooze, hand over, resolve, useful or not.

import { post } from "./api.js";
import { now } from "./clock.js";
import { h, say } from "./dom.js";
import { store } from "./store.js";
import { PRIORITY, sentence } from "./words.js";

const SNOOZES = [[15, "15 minutes"], [30, "30 minutes"], [60, "1 hour"], [120, "2 hours"], [480, "8 hours"]];

export const mayAnswer = () => store.me.roles.includes("clinician");

/** Sends an answer to the alert as it was seen; a sentence on how it went. */
export async function answer(alert, body) {
  try {
    await post(`/v1/alerts/${alert.alert_id}/answers`, { event_id: crypto.randomUUID(), seen: alert.number, ...body });
    return { ok: true, text: "Sent." };
  } catch (error) {
    const text = error.status === 409 ? "It has changed meanwhile: look again." : error.message;
    return { ok: false, text: `Not taken: ${text}` };
  }
}

/** The buttons of an alert; `current()` is the alert as it stands when one is pressed, `said(text)` takes the outcome. */
export function buttons(current, said) {
  const give = async (event, body) => {
    const button = event.currentTarget;
    button.disabled = true;
    const outcome = await answer(current(), body);
    button.disabled = false;
    said(outcome.text);
  };
  const ask = (make) => (event) => dialog(make, current(), event.currentTarget, said);
  const name = (text) => ({ type: "button", "data-action": text });
  return {
    acknowledge: h("button", { ...name("acknowledge"), class: "primary", onclick: (event) => give(event, { action: "acknowledge" }) }, "Acknowledge"),
    snooze: h("button", { ...name("snooze"), onclick: ask(snooze) }, "Snooze …"),
    hand_over: h("button", { ...name("hand_over"), onclick: ask(handOver) }, "Hand over …"),
    resolve: h("button", { ...name("resolve"), onclick: ask(resolve) }, "Resolve …"),
    useful: h("button", { ...name("useful"), onclick: (event) => give(event, { action: "rate", useful: true }) }, "Useful"),
    useless: h("button", { ...name("not-useful"), onclick: (event) => give(event, { action: "rate", useful: false }) }, "Not useful"),
  };
}

function snooze() {
  const minutes = h("select", { id: "minutes" }, SNOOZES.map(([value, text]) => h("option", { value, selected: value === 30 }, text)));
  return {
    title: "Snooze",
    verb: "Snooze",
    content: [h("label", { for: "minutes" }, "For how long"), minutes],
    body: () => ({ action: "snooze", snooze_until: new Date(now() + Number(minutes.value) * 60_000).toISOString() }),
  };
}

function handOver() {
  const known = new Set([...store.alerts.values()].flatMap((alert) => [alert.assigned_to, ...(alert.to ?? [])]).filter(Boolean));
  const to = h("input", { id: "to", required: true, maxlength: 64, autocomplete: "off", list: "known" });
  return {
    title: "Hand over",
    verb: "Hand over",
    content: [h("label", { for: "to" }, "To whom (user or team)"), to, h("datalist", { id: "known" }, [...known].sort().map((value) => h("option", { value })))],
    body: () => ({ action: "hand_over", handed_to: to.value.trim() }),
  };
}

function resolve() {
  const comment = h("input", { id: "comment", maxlength: 200, autocomplete: "off" });
  return {
    title: "Resolve",
    verb: "Resolve",
    content: [h("p", {}, "It ends for everybody. If the condition comes again, it is a new alert."), h("label", { for: "comment" }, "What was done (optional, no names)"), comment],
    body: () => ({ action: "resolve", ...(comment.value.trim() && { comment: comment.value.trim() }) }),
  };
}

function dialog(make, alert, opener, said) {
  const { title, verb, content, body } = make();
  const wrong = h("p", { class: "wrong", role: "alert" });
  const send = h("button", { type: "submit", class: "primary" }, verb);
  const box = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          send.disabled = true;
          const outcome = await answer(alert, body());
          send.disabled = false;
          if (!outcome.ok) return say(wrong, outcome.text);
          box.close();
          said(outcome.text);
        },
      },
      h("h2", { id: "dialog-title" }, `${title}: ${PRIORITY[alert.priority].toLowerCase()} priority, bed ${alert.bed ?? "not known"}`),
      h("p", {}, sentence(alert)),
      content,
      wrong,
      h("div", { class: "row" }, send, h("button", { type: "button", onclick: () => box.close() }, "Cancel")),
    ),
  );
  box.addEventListener("close", () => {
    box.remove();
    if (opener.isConnected) opener.focus();
  });
  document.body.append(box);
  box.showModal();
}
