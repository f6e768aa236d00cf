// Starts the board: who is it, one stream for all views, and the view that the address names.

import { forgetToken, get, keepToken, token } from "./api.js";
import { alerts } from "./alerts.js";
import { h, mark, say } from "./dom.js";
import { flow } from "./flow.js";
import { link } from "./link.js";
import { models } from "./models.js";
import { patient } from "./patient.js";
import { scope } from "./scope.js";
import * as sound from "./sound.js";
import { store } from "./store.js";
import { Stream } from "./stream.js";
import { system } from "./system.js";
import { theme } from "./theme.js";
import { ward } from "./ward.js";

const VIEWS = { ward: ["Ward", ward], alerts: ["Alerts", alerts], flow: ["Flow", flow], models: ["Models", models], system: ["System", system] };
const $ = (id) => document.getElementById(id);
let stream = null;
let shown = null;

theme($("theme"));
$("leave").addEventListener("click", () => leave());
$("sound").addEventListener("click", () => { sound.turn(!sound.audible()); showSound(); });
addEventListener("pointerdown", () => { if (sound.wanted() && !sound.audible()) { sound.turn(true); showSound(); } }, { once: true });
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) start();
  else if (location.hash !== "#view") route(true); // #view: the link that skips the bar
});
addEventListener("scope", begin);
link();
store.on(["alerts"], ({ raised }) => sound.call(raised));
showSound();
start();

async function start() {
  if (token() === null) return signIn("");
  try {
    store.me = await get("/v1/board/me");
  } catch (error) {
    if (error.status === 401 || error.status === 403) return leave(error.message);
    signIn(`${error.message} Trying again …`, true);
    setTimeout(start, 3000);
    return;
  }
  $("bar").hidden = false;
  $("nav").replaceChildren(h("ul", {}, Object.entries(VIEWS).map(([key, [text]]) => h("li", {}, h("a", { href: `#/${key}`, "data-view": key }, text)))));
  begin();
  route(false);
}

function begin() {
  stream?.stop();
  store.clear();
  const mine = new Stream(scope(), {
    event: (name, data) => store.take(name, data),
    live: (live) => store.setLive(live),
    refused: () => leave("The token is not valid any more."),
  });
  stream = mine;
  mine.run();
}

function route(moved) {
  if (store.me === null) return;
  const [, name, rest] = /^#\/(\w+)\/?(.*)$/.exec(location.hash) ?? [null, "ward", ""];
  const key = name === "patient" || name in VIEWS ? name : "ward";
  shown?.abort();
  shown = new AbortController();
  const root = $("view");
  root.replaceChildren();
  root.dataset.view = key;
  for (const one of $("nav").querySelectorAll("a")) mark(one, "aria-current", one.dataset.view === key ? "page" : null);
  if (key === "patient") patient(root, shown.signal, decodeURIComponent(rest));
  else VIEWS[key][1](root, shown.signal);
  document.title = `${key === "patient" ? "Patient" : VIEWS[key][0]} – Ward board`;
  scrollTo(0, 0);
  if (moved) (root.querySelector("h1[tabindex]") ?? root).focus();
}

function leave(why = "") {
  stream?.stop();
  stream = null;
  shown?.abort();
  forgetToken();
  store.me = null;
  store.clear();
  store.setLive(false);
  signIn(why);
}

function signIn(why, waiting = false) {
  $("bar").hidden = true;
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const form = h(
    "form",
    {
      class: "sign-in",
      onsubmit: (event) => {
        event.preventDefault();
        keepToken(field.value.trim());
        $("view").replaceChildren();
        start();
      },
    },
    h("h1", {}, "Ward board"),
    h("p", { role: "status" }, why),
    waiting ? null : [h("label", { for: "token" }, "Token (ws_…)"), field, h("button", { type: "submit", class: "primary" }, "Sign in")],
  );
  $("view").dataset.view = "sign-in";
  $("view").replaceChildren(form);
  if (!waiting) field.focus();
}

function showSound() {
  const on = sound.audible();
  say($("sound"), on ? "Sound on" : sound.wanted() ? "Sound: press" : "Sound off");
  mark($("sound"), "aria-pressed", String(on));
}
