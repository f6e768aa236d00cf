// The time now, by two clocks: the ward's, by which ages are told, and the server's.
//
// A feed may bring a clock of its own (the demo runs sixty times as fast): the server says where it stands, and its pace.
// The device's own clock is never believed: a wall screen's may be wrong, and ages would be too.

let ward = { at_ms: Date.now(), since_ms: performance.now(), pace: 1 };
let ahead_ms = 0;

/** Takes both clocks from a beat that has just come. */
export function beat({ at, wall, pace }) {
  set(at, pace ?? 1);
  const server = Date.parse(wall ?? at);
  if (!Number.isNaN(server)) ahead_ms = server - Date.now();
}

/** Takes the ward's clock from a message that has just come. */
export function heard(at) {
  set(at, ward.pace);
}

function set(at, pace) {
  const at_ms = Date.parse(at);
  if (!Number.isNaN(at_ms)) ward = { at_ms, since_ms: performance.now(), pace };
}

/** The ward's time, in milliseconds since 1970. */
export function now() {
  return ward.at_ms + (performance.now() - ward.since_ms) * ward.pace;
}

/** The server's time, in milliseconds since 1970. */
export function wall() {
  return Date.now() + ahead_ms;
}
