// Small things that lie on the map: where the pointer is, and the crosshair of the keyboard.

import { byId } from "./dom.js";
import { place } from "./words.js";

/** Start the line that says where the pointer is, and the crosshair. */
export function startReadout({ maps }) {
  const { map } = maps.left;
  let where = "";
  let patch = null;
  const write = () => { byId("readout").textContent = [where, patch].filter(Boolean).join(" · "); };
  map.on("mousemove", ({ lngLat }) => {
    where = place(lngLat.lng, lngLat.lat);
    write();
  });
  map.on("mouseout", () => {
    where = "";
    write();
  });
  addEventListener("patch-hover", (event) => {
    patch = event.detail;
    write();
  });

  const canvas = map.getCanvas();
  const crosshair = byId("crosshair");
  const aim = () => {
    const { x, y } = map.project(map.getCenter());
    crosshair.style.transform = `translate(${x}px, ${y}px)`;
  };
  const show = (is) => () => {
    crosshair.hidden = !is;
    if (is) aim();
  };
  canvas.addEventListener("focus", () => show(canvas.matches(":focus-visible"))());
  canvas.addEventListener("keydown", show(true));
  canvas.addEventListener("blur", show(false));
  canvas.addEventListener("pointerdown", show(false));
  map.on("move", aim);
  map.on("resize", aim);
}
