// Sound by priority, off until somebody switches it on. The bursts follow IEC 60601-1-8: ten pulses for high, three for
// medium, one for low, of a tone with harmonics, so that a person hears from where it comes. A board is an information
// system and no alarm system: a sound that is missed must not be the only message.

const KEY = "wardstream.sound";
const NOTES = { c: 523.25, e: 659.25, g: 783.99, a: 880, C: 1046.5 };
// [note, start in s] …; the pulses are shorter and closer, the more urgent.
const BURSTS = {
  high: [0, 1.25].flatMap((from) => [["c", 0], ["e", 0.16], ["g", 0.32], ["a", 0.66], ["C", 0.82]].map(([note, at]) => [note, from + at])),
  medium: [["c", 0], ["a", 0.3], ["g", 0.6]],
  low: [["e", 0]],
};
const PULSE_S = { high: 0.12, medium: 0.2, low: 0.25 };
const HARMONICS = [[1, 0.14], [2, 0.05], [3, 0.04], [4, 0.02]];
const QUIET_MS = { high: 10_000, medium: 25_000, low: 60_000 };

let context = null;
const last = { high: -Infinity, medium: -Infinity, low: -Infinity };

export const wanted = () => localStorage.getItem(KEY) === "on";

/** Switches sound on or off; to be called from a click, or the browser keeps it still. */
export function turn(on) {
  localStorage.setItem(KEY, on ? "on" : "off");
  if (on) {
    context ??= new AudioContext();
    context.resume();
    burst("low");
  }
}

/** Whether sound is on, and the browser lets it be heard: after a reload it asks for a touch first. */
export const audible = () => wanted() && context?.state === "running";

/** Sounds for the worst of some new alerts, not more often than a person can bear. */
export function call(alerts) {
  if (!audible()) return;
  const worst = ["high", "medium", "low"].find((priority) => alerts.some((alert) => alert.priority === priority && !alert.silent));
  if (worst === undefined || performance.now() - last[worst] < QUIET_MS[worst]) return;
  last[worst] = performance.now();
  burst(worst);
}

function burst(priority) {
  for (const [note, at] of BURSTS[priority]) {
    for (const [multiple, loudness] of HARMONICS) pulse(NOTES[note] * multiple, loudness, context.currentTime + 0.05 + at, PULSE_S[priority]);
  }
}

function pulse(hertz, loudness, from, length) {
  const tone = new OscillatorNode(context, { frequency: hertz });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, from);
  gain.gain.linearRampToValueAtTime(loudness, from + length * 0.2);
  gain.gain.setValueAtTime(loudness, from + length * 0.8);
  gain.gain.linearRampToValueAtTime(0, from + length);
  tone.connect(gain).connect(context.destination);
  tone.start(from);
  tone.stop(from + length);
}
