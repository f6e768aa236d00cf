// A course in the smallest space: one SVG path, its last 12 hours on a fixed scale, so that tiles can be compared.

import { now } from "./clock.js";

export const WIDTH = 96;
export const HEIGHT = 26;
const SPAN_MS = 12 * 3600_000;
const LOOK_BACK_MS = 2 * 3600_000;
const CLEAR = 0.03;

/** The path of a trend [[at, probability] …]; gaps where there was no answer. The scale is a square root: low risks are most. */
export function path(trend) {
  const end = now();
  let d = "";
  let pen = "M";
  for (const [at, probability] of trend) {
    if (probability === null) {
      pen = "M";
      continue;
    }
    const x = Math.max(0, WIDTH * (1 - (end - Date.parse(at)) / SPAN_MS));
    const y = 1 + (HEIGHT - 2) * (1 - Math.sqrt(Math.min(1, probability)));
    d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return d;
}

/** rising, falling or steady: the newest against two hours before; null: too little is known. */
export function direction(trend) {
  const known = trend.filter(([, probability]) => probability !== null);
  if (known.length < 2) return null;
  const [at, last] = known[known.length - 1];
  const since = Date.parse(at) - LOOK_BACK_MS;
  const [, before] = known.find(([when]) => Date.parse(when) >= since);
  const change = last - before;
  return change > CLEAR ? "rising" : change < -CLEAR ? "falling" : "steady";
}

export const ARROW = { rising: "↗", falling: "↘", steady: "→" };
