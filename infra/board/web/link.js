// Whether what is shown is live: the badge, the banner with its age, and what a screen reader is told.

import { wall } from "./clock.js";
import { mark, say } from "./dom.js";
import { several } from "./scope.js";
import { store } from "./store.js";
import { PRIORITY, sentence, span } from "./words.js";

const OLD_S = 15;
const QUIET_MS = 10_000;
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const $ = (id) => document.getElementById(id);

export function link() {
  store.on(["link", "reset", "tiles"], show);
  setInterval(show, 1000);
  announceAlerts();
}

/** What is wrong: lost (no connection), away (the server has no Kafka), behind (what it reads is old), or null. */
function trouble() {
  if (store.me === null || !(store.filled || store.shownAt !== null)) return null;
  if (!store.live) return "lost";
  if (!store.sourceOk) return "away";
  if ((store.behind_s ?? 0) > OLD_S) return "behind";
  return null;
}

const SAID = {
  lost: "Connection lost. Trying again.",
  away: "The server has lost its data source (Kafka).",
  behind: "The server is behind its data source.",
};

function show() {
  const wrong = trouble();
  const body = document.body;
  const before = body.dataset.link;
  mark(body, "data-link", wrong);
  mark($("banner"), "hidden", wrong === null ? "" : null);
  say($("live-text"), wrong === null ? (store.filled ? "Live" : "Connecting") : wrong === "lost" ? "Not live" : "Data old");
  say($("clock"), CLOCK.format(wall()));
  if (wrong !== null) {
    say($("banner-what"), SAID[wrong]);
    const age = wrong === "behind" ? store.behind_s : (store.age_s() ?? 0);
    say($("banner-age"), `What is shown is ${span(age)} old.`);
  }
  // The state is announced when it turns; the age that counts on is not.
  if ((before ?? null) !== wrong) say($("urgent"), wrong === null ? (before ? "Live again." : "") : SAID[wrong]);
}

/** New high-priority alerts in one sentence, no more often than every ten seconds. */
function announceAlerts() {
  let waiting = [];
  let timer = null;
  let last = -Infinity;
  const tell = () => {
    timer = null;
    last = performance.now();
    const [first] = waiting;
    const place = `bed ${first.bed ?? "not known"}${several() ? `, ${first.unit}` : ""}`;
    say($("polite"), waiting.length === 1 ? `${PRIORITY[first.priority]} priority, ${place}: ${sentence(first)}` : `${waiting.length} new high-priority alerts, the first: ${place}`);
    waiting = [];
  };
  store.on(["alerts"], ({ raised }) => {
    const fresh = raised.filter((alert) => alert.priority === "high" && !alert.silent);
    if (fresh.length === 0) return;
    waiting = [...waiting, ...fresh].slice(-100);
    timer ??= setTimeout(tell, Math.max(0, last + QUIET_MS - performance.now()));
  });
}
