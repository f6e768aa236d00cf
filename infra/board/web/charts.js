// Charts over time with uPlot, in the colours of the style sheet, each with its content in words for those who do not see it.

import { colour } from "./theme.js";
import { number } from "./words.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECOND = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const MARK = { high: "--high", medium: "--medium", low: "--low" };

/** Pixels of a length that grows with the type, as a canvas wants them. */
const scaled = (px) => Math.round(px * Math.max(1, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16));

/** Seconds since 1970 of a time, as uPlot wants them. */
export const seconds = (at) => Date.parse(at) / 1000;

/**
 * A chart that follows its container's width until `signal` aborts; returned is what shows other contents in it.
 *
 * `contents`: `label`; `lines`: [{label, points: [[at, number|null] …], colour: "--name", step, dash, dots, scale}];
 * `marks`: [{at, priority, text}] are drawn as lines from top to bottom; `range` is [from, to] in seconds; `level` is a
 * line across. `frame`: `y` is [low, high] or null; `sync` is a key: charts with the same one share their cursor; `bands`:
 * [[line above, line below, colour] …]. Other contents have as many lines, of the same colours.
 */
export function chart(box, contents, { y = null, sync = null, height = 130, bands = [], signal, tick = null }) {
  let shown = contents;
  let plot = null;
  const describe = () => box.setAttribute("aria-label", `${shown.label}. ${shown.lines.filter((line) => !line.quiet).map(told).join(" ")}`);
  const draw = () => {
    plot?.destroy();
    plot = new uPlot(options(), data(shown.lines), box);
  };
  const options = () => {
    const text = colour("--text-2");
    const axis = { stroke: text, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `${scaled(12)}px system-ui, sans-serif` };
    return {
      width: Math.max(200, box.clientWidth),
      height: scaled(height),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, ...(sync && { sync: { key: sync } }), points: { size: 6 } },
      scales: { x: { time: true, range: (_, low, high) => shown.range ?? [low, high] }, y: { range: (_, low, high) => bounds(y, low, high) } },
      axes: [
        { ...axis, space: scaled(70), size: scaled(26), values: (_, splits) => splits.map(splits[1] - splits[0] < 60 ? exact : when) },
        { ...axis, size: scaled(44), space: scaled(26), values: (_, splits) => splits.map(tick ?? ((one) => number(one, 2))) },
      ],
      series: [{}, ...shown.lines.map(series)],
      bands: bands.map(([above, below, name]) => ({ series: [above + 1, below + 1], fill: colour(name) })),
      hooks: { draw: [(u) => { drawLevel(u, shown.level ?? null); drawMarks(u, shown.marks ?? []); }] },
      padding: [10, scaled(18), 0, 0],
    };
  };
  const resized = new ResizeObserver(() => {
    if (plot !== null && box.clientWidth > 0 && Math.abs(plot.width - box.clientWidth) > 1) plot.setSize({ width: box.clientWidth, height: scaled(height) });
  });
  box.setAttribute("role", "img");
  describe();
  draw();
  resized.observe(box);
  addEventListener("theme", draw, { signal });
  signal.addEventListener("abort", () => {
    resized.disconnect();
    plot?.destroy();
    plot = null;
  });
  return (others) => {
    shown = others;
    describe();
    plot.setData(data(shown.lines));
  };
}

function bounds(y, low, high) {
  if (low === null || low === undefined) return y ?? [0, 1];
  const margin = Math.max((high - low) * 0.1, 0.001);
  if (y === null) return [low - margin, high + margin];
  return [Math.min(y[0], low - margin), Math.max(y[1], high + margin)];
}

const exact = (second) => SECOND.format(new Date(second * 1000));

function when(second) {
  const date = new Date(second * 1000);
  return date.getHours() === 0 && date.getMinutes() === 0 ? DAY.format(date) : HOUR.format(date);
}

function series(line) {
  const stroke = colour(line.colour);
  return {
    label: line.label,
    stroke,
    width: scaled(line.width ?? 2),
    dash: line.dash,
    spanGaps: line.spanGaps ?? false,
    points: { show: line.dots ?? false, size: scaled(6), fill: stroke },
    ...(line.step && { paths: uPlot.paths.stepped({ align: 1 }) }),
  };
}

/** Lines with times of their own on one common time axis: between its points a line is simply joined. */
function data(lines) {
  const times = [...new Set(lines.flatMap((line) => line.points.map(([at]) => seconds(at))))].sort((a, b) => a - b);
  const place = new Map(times.map((time, i) => [time, i]));
  return [
    times,
    ...lines.map((line) => {
      // undefined is joined over, null is a gap: uPlot's own difference.
      const column = new Array(times.length).fill(undefined);
      for (const [at, one] of line.points) column[place.get(seconds(at))] = one;
      return column;
    }),
  ];
}

function drawLevel(u, level) {
  if (level === null || level.value === null) return;
  const y = u.valToPos(level.value, "y", true);
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--text-2");
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `${scaled(12) * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left"; // not as an axis left it
  ctx.fillText(level.text, bbox.left + 6, y - 5 * devicePixelRatio);
  ctx.restore();
}

function drawMarks(u, marks) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.lineWidth = devicePixelRatio * 1.5;
  ctx.font = `bold ${scaled(11) * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  let free = -Infinity;
  for (const mark of [...marks].sort((a, b) => Date.parse(a.at) - Date.parse(b.at))) {
    const x = u.valToPos(seconds(mark.at), "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(MARK[mark.priority] ?? "--text-2");
    ctx.setLineDash(mark.dash ? [3 * devicePixelRatio, 3 * devicePixelRatio] : []);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    if (x < free) continue; // signs that lie over each other could not be read
    ctx.fillText(mark.sign ?? "", x + 3 * devicePixelRatio, bbox.top + scaled(9) * devicePixelRatio);
    free = x + scaled(20) * devicePixelRatio;
  }
  ctx.restore();
}

function told(line) {
  const known = line.points.filter(([, one]) => one !== null);
  if (known.length === 0) return `${line.label}: nothing.`;
  const values = known.map(([, one]) => one);
  const [at, last] = known[known.length - 1];
  return `${line.label}: last ${number(last, 2)} at ${when(seconds(at))}, lowest ${number(Math.min(...values), 2)}, highest ${number(Math.max(...values), 2)}.`;
}
