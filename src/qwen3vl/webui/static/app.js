// Starts the page: loads its texts, puts its parts in their places, and takes what concerns all of them (keys, drops,
// language, colours).

import { get, remove } from "./api.js";
import { Composer } from "./composer.js";
import { answerOf, bus, erase, exportPath, fileOf, isRunning, open, select, start, stop } from "./conversation.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { describeParams } from "./form.js";
import { drawModels, refreshModel, setUpModels } from "./models.js";
import { draw as drawPlace, goTo, leavePlace, placeHere, setUpPlaces } from "./places.js";
import { draw as drawResults, setUpResults } from "./results.js";
import { drawList, load, setUpSidebar, startFresh } from "./sidebar.js";
import { currentLanguage, said, setLanguage, setUpTexts, t } from "./texts.js";
import { draw as drawThread, setUpThread } from "./thread.js";

const COLOURS = "qwen3vl.colours";
const SAMPLES = ["window", "shapes", "receipt", "page"];
const ui = { resultsWanted: null };
let composer, parts;

async function main() {
  const [setup, root] = await Promise.all([get("page/setup"), appear("#app")]);
  setUpTexts(setup.texts, setup.interface.language);
  Object.assign(ui, { tasks: setup.tasks, panels: setup.panels, interface: setup.interface, maxFile: setup.max_file });
  setUpColours();
  parts = layOut(root);
  Object.assign(ui, {
    welcome, describeQuestion, showResults, hideResults, openDrawer, closeDrawer, goTo, leavePlace,
    fail: (error) => composer.fail(error),
    editQuestion: (turn) => composer.edit(turn),
    regenerate: (question) => composer.regenerate(question),
    modelChanged: () => composer?.modelChanged(),
    focusQuestion: () => composer.text.focus(),
  });
  await setUpResults(parts.results, ui);
  setUpThread(parts.turns, parts.announcer, ui);
  composer = new Composer(parts.composer, ui);
  setUpSidebar(parts.talks, ui);
  setUpModels(parts.model, ui);
  await setUpPlaces(parts.places, parts.place, ui);
  words();
  drawPlace();
  setUpKeys();
  setUpDrops();
  bus.addEventListener("failed", ({ detail }) => composer.fail(detail));
  bus.addEventListener("changed", drawHead);
  bus.addEventListener("ended", () => {
    drawHead();
    refreshModel().catch(() => {});
  });
  if (!ui.interface.autosave) {
    addEventListener("pagehide", () => open.id && erase(open.id, { keepalive: true }).catch(() => {}));
    bus.addEventListener("left", ({ detail }) => remove(`v1/conversations/${detail}`).catch(() => {}));
  }
  await start();
  parts.app.dataset.ready = "true";
  if (!placeHere() && matchMedia("(min-width: 900px)").matches) composer.text.focus();
}

// Gradio builds the document when it has loaded.
const appear = (selector) => new Promise((resolve) => {
  const look = () => document.querySelector(selector);
  if (look()) return resolve(look());
  const watch = new MutationObserver(() => look() && (watch.disconnect(), resolve(look())));
  watch.observe(document.documentElement, { childList: true, subtree: true });
});

function layOut(app) {
  const made = {
    app,
    places: h("nav", { class: "places" }), place: h("main", { class: "place" }),
    talks: h("nav", { class: "talks" }), model: h("div", {}), turns: h("div", { class: "turns" }), composer: h("div", { class: "composer" }),
    results: h("aside", { class: "results" }), head: h("header", { class: "head" }), brand: h("div", { class: "brand" }), foot: h("div", { class: "foot" }),
    announcer: h("div", { class: "unseen", "aria-live": "polite", role: "status" }), veil: h("div", { class: "veil", onclick: closeDrawer }),
    drop: h("div", { class: "drop", "aria-hidden": "true" }),
  };
  made.side = h("aside", { class: "side", id: "side" }, made.brand, made.places, made.talks, made.model, made.foot);
  made.middle = h("main", { class: "middle" }, made.head, h("div", { class: "scroll" }, made.turns), made.composer);
  fill(app, made.side, made.middle, made.results, made.place, made.veil, made.drop, made.announcer);
  // On a narrow screen the results stand below the turns and scroll with them.
  const narrow = matchMedia("(max-width: 1100px)");
  const place = () => (narrow.matches ? made.turns.after(made.results) : made.middle.after(made.results));
  narrow.addEventListener("change", place);
  place();
  return made;
}

// All words that are not redrawn by themselves.
function words() {
  document.title = t("title");
  fill(parts.brand, h("h1", {}, t("title")), iconButton("plus", t("new_conversation"), startFresh, { class: "icon-button new" }));
  parts.talks.setAttribute("aria-label", t("conversations"));
  parts.results.setAttribute("aria-label", t("results"));
  const dark = document.body.classList.contains("dark");
  fill(parts.foot,
    h("div", { class: "languages", role: "group", "aria-label": t("language") }, ["en", "zh"].map((name) =>
      h("button", { type: "button", lang: name, "aria-pressed": String(name === currentLanguage()), onclick: () => changeLanguage(name) }, t(`language_${name}`)))),
    iconButton(dark ? "sun" : "moon", t(dark ? "to_light" : "to_dark"), changeColours, { class: "icon-button colours" }));
  fill(parts.drop, h("p", {}, t("drop_here")));
  drawHead();
}

function changeLanguage(name) {
  setLanguage(name);
  words();
  composer.draw();
  drawThread();
  drawList();
  drawModels();
  drawResults(true);
  drawPlace();
}

function setUpColours() {
  const chosen = localStorage.getItem(COLOURS);
  if (chosen) document.body.classList.toggle("dark", chosen === "dark");
}

function changeColours() {
  const dark = document.body.classList.toggle("dark");
  localStorage.setItem(COLOURS, dark ? "dark" : "light");
  words();
}

function drawHead() {
  const items = ["markdown", "json", "html"].map((format) =>
    h("a", { href: open.id ? exportPath(open.id, format) : null, download: "" }, t(`export_${format}`)));
  fill(parts.head,
    iconButton("menu", t("conversations"), openDrawer, { class: "icon-button menu", "aria-controls": "side" }),
    h("h2", {}, open.id ? open.title || t("untitled") : t("new_conversation")),
    open.turns.length ? h("details", { class: "export-menu" }, h("summary", { "aria-label": t("export_conversation"), title: t("export_conversation") }, icon("down"), h("span", {}, t("export"))), h("div", {}, items)) : null,
    iconButton("plus", t("new_conversation"), startFresh, { class: "icon-button new" }));
}

const openDrawer = () => document.body.classList.add("with-drawer");
function closeDrawer() {
  document.body.classList.remove("with-drawer");
}

function showResults(answer) {
  ui.resultsWanted = answer;
  select(answer);
  drawResults();
  parts.results.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function hideResults() {
  ui.resultsWanted = null;
  document.body.classList.remove("with-results");
}

function describeQuestion(turn) {
  const task = ui.tasks.find((each) => each.name === turn.request?.task);
  if (!task || task.name === "chat") return { text: turn.text };
  const own = task.text_param ? turn.request.params[task.text_param] : turn.text.split("\n\n").slice(1).join("\n\n");
  return { title: task.title[currentLanguage()], text: own, details: describeParams(task, turn.request.params) };
}

function welcome() {
  return h("div", { class: "welcome" }, h("h2", {}, t("welcome")), h("p", {}, t("welcome_hint")),
    h("ul", { class: "samples", "aria-label": t("samples") }, SAMPLES.map((name) => h("li", {}, h("button", { type: "button", onclick: async () => {
      const file = new File([await fileOf(`page/samples/${name}.png`)], `${name}.png`, { type: "image/png" });
      composer.files.put([]);
      composer.chooseTask("chat");
      composer.files.add([file]);
      composer.text.value = t(`sample_${name}`);
      composer.grow();
      composer.text.focus();
    } }, h("img", { src: `page/samples/${name}.png`, alt: "" }), h("span", {}, t(`sample_${name}`)))))));
}

function setUpKeys() {
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (document.body.classList.contains("with-drawer")) closeDrawer();
    else if (placeHere()) placeHere().escape?.();
    else if (isRunning()) stop().catch((error) => composer.fail(error));
  });
  addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(".export-menu[open]")) if (!menu.contains(event.target) || event.target.closest("a")) menu.open = false;
  });
}

function setUpDrops() {
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    takeFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length) return;
    event.preventDefault();
    takeFiles(files);
  });
}

const takeFiles = (files) => (placeHere() ? placeHere().takeFiles?.(files) : composer.files.add(files));

main().catch((error) => {
  const root = document.querySelector("#app") ?? document.body;
  fill(root, h("p", { role: "alert", class: "notice fatal" }, error.message));
  throw error;
});
