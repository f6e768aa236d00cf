// On a wall, where nobody scrolls, type grows as far as all tiles still fit the screen.

const WALL = matchMedia("(min-width: 1800px)");
const MOST = 2;
const STEP = 0.05;
const AROUND = 1.5; // of the grid, rem

/** Chooses the size of type for so many tiles of a size, rem, in `grid`. */
export function fit(grid, count, { wide, high, gap }) {
  const root = document.documentElement;
  const now = Number(root.style.getPropertyValue("--fit")) || 1;
  const rem = parseFloat(getComputedStyle(root).fontSize) / now;
  const head = (grid.getBoundingClientRect().top + scrollY) / (rem * now);
  const across = (size) => Math.floor((root.clientWidth / (rem * size) - AROUND + gap) / (wide + gap));
  const down = (size) => Math.floor((innerHeight / (rem * size) - head) / (high + gap));
  let size = WALL.matches && count > 0 ? MOST : 1;
  while (size > 1 && across(size) * down(size) < count) size -= STEP;
  if (size > 1) root.style.setProperty("--fit", size.toFixed(2));
  else unfit();
}

/** Gives type its usual size again. */
export function unfit() {
  document.documentElement.style.removeProperty("--fit");
}
