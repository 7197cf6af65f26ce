// Single keys, for who judges hundreds of points: they can be turned off, and never act in a field.

const STORED = "lc-platform-single-keys";

/** Whether keys act. */
export const keysAct = () => localStorage.getItem(STORED) !== "off";

/** Have a checkbox turn the keys on and off, on this machine. */
export function startKeySwitch(checkbox, listener) {
  checkbox.checked = keysAct();
  checkbox.addEventListener("change", () => {
    if (checkbox.checked) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, "off");
    listener();
  });
}

/** Call `actions[key]()` for a key that is pressed outside of fields; keys are in small letters. */
export function onKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || !keysAct()) return;
    if (event.target.closest?.("input[type='text'], textarea, select, dialog[open]")) return;
    const act = actions(event.key.toLowerCase());
    if (!act) return;
    event.preventDefault();
    act();
  });
}
