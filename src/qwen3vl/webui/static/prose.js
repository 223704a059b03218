// Rendered text: exchanged block by block, so that what a person selects or has scrolled to stays; formulas; copy buttons.

import { copyText, fill, h, icon } from "./dom.js";
import { t } from "./texts.js";

const raw = new WeakMap(); // what a block was before formulas and buttons came into it

export function update(element, html) {
  const template = document.createElement("template");
  template.innerHTML = html; // made by the server, in which nothing of the model's is markup
  const fresh = [...template.content.children];
  fresh.forEach((block, place) => {
    const old = element.children[place], source = block.outerHTML;
    if (old && raw.get(old) === source) return;
    raw.set(block, source);
    old ? old.replaceWith(block) : element.append(block);
  });
  while (element.children.length > fresh.length) element.lastElementChild.remove();
}

// KaTeX comes with Gradio, under a name that changes with its version; the page says which.
let renderer;
const loadRenderer = () => (renderer ??= import(new URL(document.querySelector("#katex-module").href)).then((module) => module.default));

export async function setFormulas(element) {
  const formulas = [...element.querySelectorAll(".formula:not([data-set])")];
  if (!formulas.length) return;
  for (const formula of formulas) formula.dataset.set = "1";
  const render = await loadRenderer();
  for (const formula of formulas) {
    const display = formula.classList.contains("display");
    const [left, right] = ["\\[", "\\]"];
    formula.textContent = left + formula.textContent + right;
    render(formula, { delimiters: [{ left, right, display }], throwOnError: false, trust: false, errorCallback: () => {} });
  }
}

export function addCopyButtons(element) {
  for (const block of element.querySelectorAll("pre.code:not(:has(> .code-bar))")) {
    const button = h("button", { type: "button", class: "text-button", "aria-label": t("copy_code"), onclick: async () => {
      await copyText(block.querySelector("code").textContent);
      fill(button, icon("check"), t("copied"));
      setTimeout(() => fill(button, icon("copy"), t("copy")), 1200);
    } }, icon("copy"), t("copy"));
    block.prepend(h("div", { class: "code-bar" }, h("span", {}, block.dataset.language), button));
  }
}
