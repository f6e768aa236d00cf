// Where tiles stand. Each has its place by a transform: when one rises, the others move without being laid out anew, which
// with three hundred of them would hold up a frame. The order in which they are read is told by aria-owns.

import { fit, unfit } from "./fit.js";

/** Sizes in rem; ward.css has paddings and type that go with them. */
const TILE = { wide: 18.8, high: 11.7, gap: 0.5 };

/** The places in `grid`, until `signal` aborts. */
export class Places {
  columns = 1;

  constructor(grid, signal) {
    this.grid = grid;
    this.elements = [];
    this.owns = "";
    this.more = 0;
    this.count = 0;
    const resized = new ResizeObserver(() => this.measure());
    resized.observe(grid);
    addEventListener("resize", () => this.size(this.count), { signal });
    signal.addEventListener("abort", () => {
      resized.disconnect();
      unfit();
    });
  }

  /** Makes room for a line of `rem` more in each tile. */
  heighten(rem) {
    this.more = rem;
    this.size(this.count);
  }

  /** Has type grow or shrink so that so many tiles fit a wall. */
  size(count) {
    this.count = count;
    fit(this.grid, count, { ...TILE, high: TILE.high + this.more });
    this.measure();
  }

  /** Gives elements their places, in this order. */
  give(elements) {
    this.elements = elements;
    for (const [i, element] of elements.entries()) {
      const place = `translate(${(i % this.columns) * this.across}px, ${Math.floor(i / this.columns) * this.down}px)`;
      if (element.place === place) continue;
      element.place = place;
      element.style.transform = place;
    }
    const owns = elements.map((element) => element.id).join(" ");
    if (owns !== this.owns) this.grid.setAttribute("aria-owns", (this.owns = owns));
    const high = `${Math.ceil(elements.length / this.columns) * this.down}px`;
    if (this.grid.style.blockSize !== high) this.grid.style.blockSize = high;
  }

  measure() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const gap = Math.round(TILE.gap * rem);
    const width = this.grid.clientWidth;
    this.columns = Math.max(1, Math.floor((width + gap) / (TILE.wide * rem + gap)));
    // Whole pixels: type on fractions of them is blurred.
    this.across = Math.floor((width + gap) / this.columns);
    this.down = Math.round((TILE.high + this.more) * rem) + gap;
    this.grid.style.setProperty("--tile-width", `${this.across - gap}px`);
    this.grid.style.setProperty("--tile-height", `${this.down - gap}px`);
    this.give(this.elements);
  }
}
