// System prompt and sampling, in a fold. What is left empty is what the settings and the checkpoint say.

import { fill, h } from "./dom.js";
import { t } from "./texts.js";

const OPTIONS = {
  max_tokens: { min: 1, step: 1 },
  temperature: { min: 0, max: 2, step: 0.05 },
  top_p: { min: 0.01, max: 1, step: 0.01 },
  top_k: { min: 0, step: 1 },
  presence_penalty: { min: -2, max: 2, step: 0.1 },
  repetition_penalty: { min: 0.01, max: 100, step: 0.01 },
  seed: { step: 1 },
};

export class Tuning {
  isOpen = false;
  system = "";
  given = {};
  model = {};

  draw() {
    this.element = h("section", { class: "tuning", hidden: !this.isOpen, "aria-label": t("tuning") });
    this.fill();
    return this.element;
  }

  fill() {
    const system = h("textarea", { rows: 2, value: this.system, placeholder: t("system_hint"), oninput: () => (this.system = system.value) });
    const usual = { ...this.model.defaults, ...this.model.settings };
    const fields = Object.entries(OPTIONS).map(([name, limits]) => {
      const input = h("input", { type: "number", inputmode: "decimal", ...limits, value: this.given[name] ?? "",
        placeholder: name in usual ? String(usual[name]) : t(`usual_${name}`), oninput: () => {
          input.value === "" ? delete this.given[name] : (this.given[name] = Number(input.value));
        } });
      return h("label", { title: t(`help_${name}`) }, h("span", {}, t(`option_${name}`)), input);
    });
    const reset = h("button", { type: "button", class: "text-button", onclick: () => this.set("", {}) }, t("reset"));
    fill(this.element, h("label", { class: "system" }, h("span", {}, t("system")), system), h("div", { class: "options" }, fields), reset);
  }

  toggle() {
    this.isOpen = !this.isOpen;
    this.element.hidden = !this.isOpen;
    if (this.isOpen) this.element.querySelector("textarea").focus();
  }

  modelChanged(model) {
    if (model.name === this.model.name && model.ready === this.model.ready) return;
    this.model = model;
    this.fill();
  }

  set(system, options) {
    this.system = system;
    this.given = Object.fromEntries(Object.entries(options).filter(([name]) => name in OPTIONS));
    this.fill();
  }

  options() {
    return { ...this.given };
  }
}
