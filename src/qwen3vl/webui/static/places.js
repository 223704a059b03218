// Places beside the conversations: panels that have the middle of the page for themselves. The address names them
// (#agent, #agent=<id>), so that a reload and the browser's own ways back work.

import { address } from "./conversation.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { t } from "./texts.js";

let places = []; // {name, panel}
let nav, room, ui;
let here = null; // {name, id, shown}

export async function setUpPlaces(list, element, given) {
  [nav, room, ui] = [list, element, given];
  const entries = ui.panels.filter((entry) => entry.place);
  places = await Promise.all(entries.map(async ({ name }) => ({ name, panel: (await import(`../panels/${name}.js`)).default })));
  addEventListener("hashchange", () => follow());
}

export const placeHere = () => here?.shown ?? null;
export const goTo = (name, id = null) => void (location.hash = id === null ? name : `${name}=${id}`);

export function leavePlace() {
  if (here === null) return;
  history.replaceState(null, "", address());
  follow();
}

// Anew, in the page's language.
export const draw = () => follow(true);

function follow(anew = false) {
  const [name, id = null] = location.hash.slice(1).split("=");
  const entry = places.find((each) => each.name === name) ?? null;
  if (anew || here?.name !== entry?.name || here?.id !== id) {
    here?.shown.close();
    here = entry && { name, id, shown: enter(entry, id) };
  }
  document.body.classList.toggle("in-place", entry !== null);
  drawEntries();
  if (entry === null) fill(room);
  ui.closeDrawer();
}

function enter(entry, id) {
  const body = h("div", { class: `place-body ${entry.name}` });
  fill(room,
    h("header", { class: "head" },
      iconButton("menu", t("conversations"), ui.openDrawer, { class: "icon-button menu", "aria-controls": "side" }),
      id === null ? icon(entry.panel.icon) : iconButton("left", t(`all_${entry.name}`), () => goTo(entry.name), { class: "icon-button back" }),
      h("h2", {}, t(`panel_${entry.name}`))),
    body);
  return entry.panel.open(body, id, ui);
}

function drawEntries() {
  nav.setAttribute("aria-label", t("places"));
  const entry = (sign, words, current, onclick) =>
    h("button", { type: "button", "aria-current": current ? "page" : null, onclick }, icon(sign), h("span", {}, words));
  fill(nav, entry("chat", t("conversations"), here === null, () => (here === null ? ui.closeDrawer() : leavePlace())),
    places.map(({ name, panel }) => entry(panel.icon, t(`panel_${name}`), here?.name === name, () => goTo(name))));
}
