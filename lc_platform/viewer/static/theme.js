// Light and dark: as the system has it, until somebody says otherwise.

import { byId } from "./dom.js";

const KEY = "lc-platform-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export const theme = () => localStorage.getItem(KEY) ?? (system.matches ? "dark" : "light");

/** Apply the theme now and whenever it changes. */
export function startTheme(listener) {
  const apply = () => {
    const now = theme();
    document.documentElement.dataset.theme = now;
    const button = byId("theme");
    button.setAttribute("aria-pressed", String(now === "dark"));
    listener(now);
  };
  system.addEventListener("change", apply);
  byId("theme").addEventListener("click", () => {
    const next = theme() === "dark" ? "light" : "dark";
    if (next === (system.matches ? "dark" : "light")) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    apply();
  });
  apply();
}
