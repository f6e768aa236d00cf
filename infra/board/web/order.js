// Bringing children into an order with the fewest moves: each move costs layout, and takes focus and hover away.

/** Puts `elements` into `parent` in this order; others leave. Those of the longest run that is in order already stay. */
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  const place = new Map([...parent.children].map((child, i) => [child, i]));
  const stay = longestRun(elements.map((element) => place.get(element) ?? -1));
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  let next = null;
  for (let i = elements.length - 1; i >= 0; i--) {
    if (!stay.has(i)) parent.insertBefore(elements[i], next);
    next = elements[i];
  }
  if (focused !== null && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** Places of a longest increasing subsequence; -1 is new and never part of it. */
function longestRun(numbers) {
  const tails = [];
  const before = new Array(numbers.length).fill(-1);
  numbers.forEach((number, i) => {
    if (number < 0) return;
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[tails[middle]] < number) low = middle + 1;
      else high = middle;
    }
    before[i] = low ? tails[low - 1] : -1;
    tails[low] = i;
  });
  const stay = new Set();
  for (let i = tails.length ? tails[tails.length - 1] : -1; i >= 0; i = before[i]) stay.add(i);
  return stay;
}
