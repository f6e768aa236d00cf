// A film with what the model looked at laid over it: off, on and how strong; the limits of the model stand beside it.

import { picture } from "./api.js";
import { h, s, say } from "./dom.js";
import { percent, time, words } from "./words.js";

/** A finding with its film, until `signal` aborts. */
export function film(finding, signal) {
  const answer = finding.quality === "abstained" ? `no answer: ${finding.reason ?? "abstained"}` : percent(finding.calibrated_probability);
  const box = h("div", { class: "film" });
  const note = h("p", { class: "note", role: "status" });
  const section = h(
    "section",
    { class: "panel finding" },
    h("h3", {}, `${words(finding.finding)}: ${answer}`),
    h("p", { class: "a-meta" }, `${words(finding.model)} · film of ${time(finding.observed_at)}${finding.location ? ` · ${finding.location}` : ""}${finding.quality === "degraded" ? ` · degraded: ${finding.reason ?? ""}` : ""}`),
    h("p", { class: "caveat" }, [finding.caveat, finding.age_note].filter(Boolean).join(" ")),
    box,
    note,
  );
  if (finding.image) load(finding, box, note, signal);
  else say(note, "No picture is stored.");
  return section;
}

async function load(finding, box, note, signal) {
  const base = `/v1/board/findings/${encodeURIComponent(finding.finding_id)}`;
  say(note, "The film is loading …");
  try {
    const image = await shown(`${base}/image`, `Film, ${words(finding.finding)}`, signal);
    const layers = h("div", { class: "layers" }, image, finding.region && region(finding.region));
    box.append(layers);
    say(note, "");
    if (!finding.saliency) return;
    const over = await shown(`${base}/saliency`, "", signal);
    over.classList.add("saliency");
    image.after(over);
    box.append(strength(over));
  } catch (error) {
    say(note, `${box.firstChild ? "What the model looked at" : "The film"} cannot be shown: ${error.message}`);
  }
}

async function shown(path, alt, signal) {
  const address = await picture(path);
  signal.addEventListener("abort", () => URL.revokeObjectURL(address));
  if (signal.aborted) URL.revokeObjectURL(address);
  return h("img", { src: address, alt });
}

function strength(over) {
  const apply = (value) => (over.style.opacity = String(value / 100));
  apply(60);
  return h("label", { class: "field" }, h("span", {}, "What the model looked at"), h("input", { type: "range", min: 0, max: 100, value: 60, oninput: (event) => apply(event.target.value) }));
}

function region({ left, top, right, bottom }) {
  return s("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", class: "region", role: "img", "aria-label": "Frame around where the answer comes from mostly" },
    s("rect", { x: left * 100, y: top * 100, width: (right - left) * 100, height: (bottom - top) * 100 }));
}
