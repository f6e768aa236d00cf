// Which unit the whole board is about: kept for this device, so that a wall screen comes back to its own.

import { h } from "./dom.js";
import { store } from "./store.js";

const KEY = "wardstream.unit";

/** The units of the stream: empty for all that one may see. */
export function scope() {
  const unit = localStorage.getItem(KEY);
  return unit ? [unit] : [];
}

/** Whether several units are shown, so that each thing must say its own. */
export function several() {
  return scope().length === 0 && store.units.length > 1;
}

/** A choice of the unit; main.js begins a new stream when it changes. */
export function unitPicker(signal) {
  const select = h("select", { onchange: (event) => choose(event.target.value) });
  const fill = () => {
    const chosen = scope();
    const units = [...new Set([...(store.me.units ?? []), ...store.units, ...chosen])].sort();
    select.replaceChildren(
      h("option", { value: "" }, "All units"),
      ...units.map((unit) => h("option", { value: unit, selected: unit === chosen[0] }, unit)),
    );
  };
  fill();
  store.on(["reset"], fill, signal);
  return h("label", { class: "field" }, h("span", {}, "Unit"), select);
}

function choose(unit) {
  if (unit) localStorage.setItem(KEY, unit);
  else localStorage.removeItem(KEY);
  dispatchEvent(new CustomEvent("scope"));
}
