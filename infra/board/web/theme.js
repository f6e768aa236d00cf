// Light, dark or as the device wants.

const KEY = "wardstream.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

const chosen = () => localStorage.getItem(KEY) ?? "auto";

/** Applies what was chosen before, and lets a button go through the choices. */
export function theme(button) {
  const apply = () => {
    document.documentElement.dataset.theme = chosen();
    button.textContent = `Theme: ${chosen()}`;
    dispatchEvent(new CustomEvent("theme"));
  };
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, NEXT[chosen()]);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}

/** A colour of the style sheet as it is now: canvases cannot read variables. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
