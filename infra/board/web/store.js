// What the page knows: tiles, open alerts, the system's state, and whether the stream is live. Views listen to it.

import { beat, heard, now } from "./clock.js";

const ENDED = new Set(["resolved", "retracted", "expired", "closed"]);
const RECENT = 50;
const NEW_MS = 120_000;

export const isEnded = (alert) => ENDED.has(alert.state);

class Store extends EventTarget {
  me = null;
  units = [];
  tiles = new Map();
  alerts = new Map();
  ended = [];
  system = null;
  live = false;
  sourceOk = true;
  behind_s = null;
  /** When what is shown was last known to be true, by performance.now(); null: not yet. */
  shownAt = null;
  /** Whether a stream has told all there is. */
  filled = false;
  /** Whether the next alerts are all open ones, and not what has just happened. */
  first = true;

  clear() {
    this.tiles.clear();
    this.alerts.clear();
    this.ended = [];
    this.filled = false;
    this.tell("reset", {});
  }

  setLive(live) {
    if (live === this.live) return;
    this.live = live;
    this.tell("link", {});
  }

  take(name, data) {
    this[`on_${name}`]?.(data);
  }

  on_reset({ at, units, tiles }) {
    heard(at);
    // A stream of one unit names only that one: the others that were seen stay to be chosen.
    this.units = [...new Set([...this.units, ...units])].sort();
    this.tiles = new Map(tiles.map((tile) => [tile.patient_id, tile]));
    this.alerts.clear();
    this.fresh();
    this.filled = true;
    this.first = true;
    this.tell("reset", {});
  }

  on_tiles({ at, changed, gone }) {
    heard(at);
    for (const tile of changed) this.tiles.set(tile.patient_id, tile);
    for (const id of gone) this.tiles.delete(id);
    this.fresh();
    this.tell("tiles", { changed: changed.map((tile) => tile.patient_id), gone });
  }

  on_alerts({ changed, gone = [] }) {
    const raised = [];
    const since = this.first ? now() - NEW_MS : -Infinity;
    this.first = false;
    for (const id of gone) {
      this.alerts.delete(id);
      this.ended = this.ended.filter((one) => one.alert_id !== id);
    }
    for (const alert of changed) {
      const before = this.alerts.get(alert.alert_id);
      if (isEnded(alert)) {
        this.alerts.delete(alert.alert_id);
        this.ended = [alert, ...this.ended.filter((one) => one.alert_id !== alert.alert_id)].slice(0, RECENT);
      } else {
        this.alerts.set(alert.alert_id, alert);
        if (before?.number !== alert.number && calls(alert, before) && Date.parse(alert.observed_at) > since) raised.push(alert);
      }
    }
    this.tell("alerts", { changed, raised });
  }

  on_system(data) {
    this.system = data;
    this.tell("system", {});
  }

  on_beat(data) {
    beat(data);
    const { behind_s, source_ok } = data;
    this.behind_s = behind_s;
    if (source_ok) this.fresh();
    if (source_ok !== this.sourceOk) {
      this.sourceOk = source_ok;
      this.tell("link", {});
    }
  }

  fresh() {
    if (this.sourceOk) this.shownAt = performance.now();
  }

  /** Seconds since what is shown was known to be true; null: it never was. */
  age_s() {
    return this.shownAt === null ? null : (performance.now() - this.shownAt) / 1000;
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Listens until `signal` aborts. */
  on(names, listener, signal) {
    for (const name of names) this.addEventListener(name, (event) => listener(event.detail, name), { signal });
  }
}

/** Whether a transition is one that calls somebody. */
function calls(alert, before) {
  if (alert.state !== "raised" && alert.state !== "escalated") return false;
  return before === undefined || before.state !== alert.state || before.priority !== alert.priority || alert.tier > (before.tier ?? 0);
}

export const store = new Store();

/** An alert's rank: the worst first, unanswered before answered, then the oldest. */
export function compareAlerts(a, b) {
  return rank(a) - rank(b) || Date.parse(a.raised_at) - Date.parse(b.raised_at);
}

function rank(alert) {
  const answered = alert.state === "acknowledged" || alert.state === "snoozed";
  return ["high", "medium", "low"].indexOf(alert.priority) + (answered ? 3 : 0);
}
