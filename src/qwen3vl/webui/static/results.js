// Beside the conversation: what was found in the selected answer, in tabs, of which only those are there that apply.

import { bus, open, answerOf, questionOf, results } from "./conversation.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { said, t } from "./texts.js";

let root, ui;
let panels = []; // {name, panel}
let chosen = null; // the tab that a person has chosen
let shown = { answer: null, tab: null, source: "", update: null };

export async function setUpResults(element, given) {
  [root, ui] = [element, given];
  panels = await Promise.all(ui.panels.filter((entry) => !entry.place).map(async (entry) => ({ ...entry, panel: (await import(`../panels/${entry.name}.js`)).default })));
  bus.addEventListener("result", ({ detail }) => detail === open.selected && draw());
  bus.addEventListener("selected", () => draw());
  bus.addEventListener("changed", () => draw());
}

export function draw(anew = false) {
  const found = open.selected === null ? null : results.get(open.selected);
  const whole = found && (ui.interface.streaming || found.state !== "running");
  const answer = whole ? answerOf(open.selected) : null;
  const view = answer && { ...found, answer, question: questionOf(answer) };
  const fitting = view ? panels.filter((entry) => entry.panel.applies(view)) : [];
  const worth = fitting.some((entry) => entry.panel.opens?.(view) ?? true) || view?.result.warnings.length > 0;
  document.body.classList.toggle("with-results", worth || (view !== null && ui.resultsWanted === open.selected));
  if (!view) {
    shown = { answer: null, tab: null, source: "", update: null };
    return fill(root);
  }
  const tab = fitting.find((entry) => entry.name === chosen) ?? fitting[0];
  const source = JSON.stringify([found.result, found.pictures]);
  const tabs = fitting.map((entry) => entry.name).join();
  const same = !anew && shown.answer === open.selected && shown.tab === tab.name;
  if (same && shown.tabs !== tabs && shown.update) {
    // A tab came or went beside the one that is looked at: that one stays as it is, a player keeps its place.
    fill(root.querySelector(".tabs"), fitting.map((entry) => tabOf(entry, tab)));
    shown.tabs = tabs;
  }
  if (same && shown.tabs === tabs) {
    if (source === shown.source && shown.state === found.state) return;
    Object.assign(shown, { source, state: found.state });
    drawExports(view);
    drawWarnings(view);
    if (shown.update) return void shown.update(view);
  }
  const body = h("div", { class: `panel ${tab.name}`, role: "tabpanel", id: "panel", "aria-labelledby": `tab-${tab.name}`, tabindex: 0 });
  fill(root,
    h("header", {}, h("h2", {}, t("results")), iconButton("close", t("close"), () => ui.hideResults(), { class: "icon-button close-results" })),
    h("div", { class: "tabs", role: "tablist", "aria-label": t("results"), onkeydown: turnTabs }, fitting.map((entry) => tabOf(entry, tab))),
    h("div", { class: "warnings" }), body, h("div", { class: "exports" }));
  shown = { answer: open.selected, tab: tab.name, tabs, source, state: found.state, update: null };
  shown.update = tab.panel.render(body, view, ui) ?? null;
  drawExports(view);
  drawWarnings(view);
}

const tabOf = (entry, current) =>
  h("button", { type: "button", role: "tab", id: `tab-${entry.name}`, "aria-selected": String(entry === current), "aria-controls": "panel", tabindex: entry === current ? 0 : -1, onclick: () => choose(entry.name) }, t(`panel_${entry.name}`));

function choose(name) {
  chosen = name;
  draw(true);
  root.querySelector('[aria-selected="true"]')?.focus();
}

function turnTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...event.currentTarget.children];
  const place = (tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true") + step + tabs.length) % tabs.length;
  tabs[place].click();
}

function drawWarnings(view) {
  fill(root.querySelector(".warnings"), view.result.warnings.map((warning) => h("p", { class: "warning" }, said(warning))));
}

function drawExports(view) {
  fill(root.querySelector(".exports"), h("span", {}, t("export")), Object.entries(view.exports).map(([key, name]) =>
    h("a", { class: "chip", href: `v1/conversations/${view.answer.conversation}/messages/${view.id}/export?format=${encodeURIComponent(key)}`, download: name, title: name }, icon("down"), name.split(".").at(-1).toUpperCase())));
}
