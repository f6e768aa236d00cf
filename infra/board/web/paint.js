// All changes of the page in one place: jobs by key, the newest of each key, done in animation frames, a slice a frame.
// So a burst of 300 tiles is spread over some frames, and no frame is held up for longer than a slice.

const SLICE_MS = 4;
const MOST = 3; // tiles in sight: what they cost is mostly layout and paint, which come after the slice
const jobs = new Map();
const first = new Map();
let asked = false;

/**
 * Does `job` in one of the next frames, unless `signal` aborts before; one with the same key that still waits is replaced.
 * `cost`: how much is to be laid out and painted after it; 1 is a tile.
 */
export function paint(key, job, signal, cost = 1) {
  jobs.set(key, { job, signal, cost });
  ask();
}

/** Does `job` in the next frame, before all others. */
export function paintFirst(key, job, signal) {
  first.set(key, { job, signal });
  ask();
}

function ask() {
  if (asked) return;
  asked = true;
  // Frames rest in hidden tabs, while messages go on: there the keys bound what waits.
  requestAnimationFrame(frame);
}

function frame() {
  asked = false;
  const end = performance.now() + SLICE_MS;
  for (const [key, { job, signal }] of first) {
    first.delete(key);
    if (!signal.aborted) job();
  }
  let left = MOST;
  for (const [key, { job, signal, cost }] of jobs) {
    jobs.delete(key);
    if (signal.aborted) continue;
    job();
    left -= cost;
    if (left <= 0 || performance.now() > end) break;
  }
  if (jobs.size || first.size) ask();
}
