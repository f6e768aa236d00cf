// Ward: a tile a bed, the worst first.
//
// A tile that becomes worse rises at once; other changes of order wait some seconds, and none comes while a pointer is on
// its way to a tile: nobody opens the wrong patient because the right one has just slipped away. What is told in a burst is
// made and painted over several frames; tiles out of sight wait some seconds for that, or until they come into
// sight, so that three hundred beds cost no more than the screen shows.

import { post } from "./api.js";
import { h, say } from "./dom.js";
import { paint, paintFirst } from "./paint.js";
import { Places } from "./places.js";
import { several, unitPicker } from "./scope.js";
import { store } from "./store.js";
import { Tile } from "./tile.js";

const SETTLE_MS = 5000;
const HOLD_MS = 1000;
const UNSEEN_MS = 10_000;
const TICK_MS = 1000;
const AT_ONCE = 64;
const NAMES_MS = 60_000;
const NAME_REM = 1.4;

export function ward(root, signal) {
  const tiles = new Map();
  const inSight = new Set();
  const sight = new IntersectionObserver(sighted, { rootMargin: "30% 0%" });
  const state = { only: false, find: "", sorted: -Infinity, touched: -Infinity, count: 0, shown: [] };
  const summary = h("p", { class: "summary", id: "summary" });
  const grid = h("ul", { class: "grid", "aria-label": "Beds, the worst first", onkeydown: move, onpointermove: touched, onpointerdown: touched });
  const places = new Places(grid, signal);
  const empty = h("p", { class: "empty", hidden: true });
  const names = h("button", { type: "button", onclick: showNames, hidden: !store.me.names }, "Show names for a minute");
  const note = h("p", { class: "note", role: "status" });
  root.append(
    h("div", { class: "tools" },
      h("h1", {}, "Ward"),
      unitPicker(signal),
      h("label", { class: "check" }, h("input", { type: "checkbox", onchange: (event) => { state.only = event.target.checked; order(); } }), "Only with open alerts"),
      h("label", { class: "field" }, h("span", {}, "Find bed"), h("input", { type: "search", size: 8, oninput: (event) => { state.find = event.target.value.trim().toLowerCase(); order(); } })),
      names, note, summary),
    empty, grid,
  );

  function wanted(tile) {
    return (!state.only || tile.alerts.length > 0) && (state.find === "" || (tile.bed ?? "").toLowerCase().includes(state.find));
  }

  function show(id) {
    const tile = tiles.get(id);
    if (tile === undefined) return paint(`tile ${id}`, () => make(id), signal, 1 / 4);
    const rose = tile.take(store.tiles.get(id));
    if (rose) {
      tile.element.dataset.rose = "";
      setTimeout(() => delete tile.element.dataset.rose, 4000);
    }
    if (rose || inSight.has(tile)) draw(tile);
    if (rose) order();
    else later();
  }

  function make(id) {
    const told = store.tiles.get(id);
    if (told === undefined) return; // gone while it waited
    const tile = new Tile(id);
    tiles.set(id, tile);
    tile.take(told);
    tile.draw(several());
    grid.append(tile.element);
    sight.observe(tile.element);
    order();
  }

  function draw(tile) {
    paint(`tile ${tile.id}`, () => tile.draw(several()), signal, inSight.has(tile) ? 1 : 0);
  }

  function sighted(entries) {
    for (const { target, isIntersecting } of entries) {
      const tile = target.tile;
      if (!isIntersecting) inSight.delete(tile);
      else {
        inSight.add(tile);
        draw(tile);
      }
    }
  }

  function touched() {
    state.touched = performance.now();
  }

  let timer = null;
  function later() {
    timer ??= setTimeout(() => { timer = null; order(); }, Math.max(0, state.sorted + SETTLE_MS - performance.now()));
  }

  let held = null;
  function order() {
    const hold = Math.min(state.touched + HOLD_MS, state.sorted + 2 * SETTLE_MS) - performance.now();
    if (hold > 0) held ??= setTimeout(() => { held = null; order(); }, hold);
    else paintFirst("ward.order", sort, signal);
  }

  function sort() {
    state.sorted = performance.now();
    const shown = [];
    for (const tile of tiles.values()) {
      const is = wanted(tile.tile);
      if (is) shown.push(tile);
      if (is === tile.element.hidden) paint(`hide ${tile.id}`, () => (tile.element.hidden = !wanted(tile.tile)), signal);
    }
    shown.sort((a, b) => step(b.tile.rank) - step(a.tile.rank) || (a.tile.bed ?? "").localeCompare(b.tile.bed ?? ""));
    state.shown = shown;
    places.give(shown.map((tile) => tile.element));
    rove();
    empty.hidden = shown.length > 0;
    say(empty, store.filled ? "No patients match." : "Waiting for the first data …");
    summarise();
    // Who looks for a bed wants no other size of type; nor shall it shrink while the first tiles come.
    if (state.find !== "" || tiles.size < store.tiles.size || shown.length === state.count) return;
    state.count = shown.length;
    places.size(state.count);
  }

  function summarise() {
    const all = [...store.tiles.values()];
    const count = (is) => all.filter(is).length;
    const told = [
      `${all.length} patients`,
      [count((tile) => tile.priority === "high"), "high priority"],
      [count((tile) => tile.news2?.band === "high"), "NEWS2 high"],
      [count((tile) => tile.stale), "stale"],
      [count((tile) => tile.degraded), "degraded"],
      [count((tile) => tile.silent), "in silent mode"],
    ];
    say(summary, told.filter((one) => typeof one === "string" || one[0] > 0).map((one) => (typeof one === "string" ? one : one.join(" "))).join(" · "));
  }

  // One tab stop; the arrows go on from there.
  function rove() {
    const links = state.shown.map((tile) => tile.bed.element);
    const current = links.find((link) => link.tabIndex === 0 && link === document.activeElement) ?? links[0];
    for (const link of links) if (link.tabIndex !== (link === current ? 0 : -1)) link.tabIndex = link === current ? 0 : -1;
  }

  function move(event) {
    const links = state.shown.map((tile) => tile.bed.element);
    const at = links.indexOf(event.target);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + places.columns, ArrowUp: at - places.columns, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined || links[to] === undefined) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    links[to].tabIndex = 0;
    links[to].focus();
  }

  let hiding = null;
  async function showNames() {
    const ids = [...tiles.values()].filter((tile) => visible(tile.element)).map((tile) => tile.id).slice(0, AT_ONCE);
    try {
      const told = await post("/v1/board/names", { patients: ids });
      places.heighten(NAME_REM); // a name cut short, or without its second mark, could be another's
      for (const [id, name] of Object.entries(told.names)) tiles.get(id)?.showName(name);
      say(note, "Names shown; it is recorded who looked.");
      clearTimeout(hiding);
      hiding = setTimeout(hideNames, NAMES_MS);
    } catch (error) {
      say(note, `Names cannot be shown: ${error.message}`);
    }
  }

  function hideNames() {
    for (const tile of tiles.values()) tile.showName(null);
    places.heighten(0);
    say(note, "");
  }

  function all() {
    for (const id of tiles.keys()) {
      if (!store.tiles.has(id)) forget(id);
    }
    // The worst first, so that the first screen is there at once.
    for (const { patient_id: id } of [...store.tiles.values()].sort((a, b) => b.rank - a.rank)) show(id);
    order();
  }

  function forget(id) {
    const tile = tiles.get(id);
    if (tile === undefined) return;
    sight.unobserve(tile.element);
    inSight.delete(tile);
    tile.element.remove();
    tiles.delete(id);
  }

  store.on(["reset"], all, signal);
  store.on(["tiles"], ({ changed, gone }) => {
    changed.forEach(show);
    gone.forEach(forget);
    if (gone.length) order();
  }, signal);
  store.on(["alerts"], ({ changed }) => {
    for (const { patient_id: id } of changed) if (tiles.has(id)) show(id);
  }, signal);
  const ticking = setInterval(() => {
    const at = performance.now();
    for (const [id, tile] of tiles) {
      const old = at - tile.drawn;
      if (!inSight.has(tile) && old > UNSEEN_MS) draw(tile);
      else if (inSight.has(tile) && !tile.due && old > TICK_MS * 0.9) paint(`tick ${id}`, () => tile.tick(), signal);
    }
  }, TICK_MS);
  signal.addEventListener("abort", () => {
    clearInterval(ticking);
    sight.disconnect();
    for (const one of [timer, held, hiding]) clearTimeout(one);
  });
  all();
}

/** Ranks in steps of a twentieth: the last digits of a probability should move nobody. */
const step = (rank) => Math.round(rank * 20);

function visible(element) {
  const box = element.getBoundingClientRect();
  return box.bottom > 0 && box.top < innerHeight;
}
