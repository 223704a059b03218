// A step of a GUI agent: in words, drawn over the picture of the page before it is taken, and as a form to change it.

import { fill, h } from "../static/dom.js";
import { number, t } from "../static/texts.js";

const ENDINGS = ["answer", "done"];
const PLACED = ["click", "double_click", "triple_click", "right_click", "middle_click", "long_press", "move", "drag"];
const KINDS = [...PLACED, "type", "key", "button", "scroll", "wait", ...ENDINGS];
const WRITTEN = ["type", "key", "button", ...ENDINGS];
const AMOUNTS = { scroll: "step_pixels", wait: "step_seconds", long_press: "step_seconds" };
const HIDDEN = "••••••••";

const middle = (mark) => (mark.pixels.length === 4 ? [(mark.pixels[0] + mark.pixels[2]) / 2, (mark.pixels[1] + mark.pixels[3]) / 2] : mark.pixels);

// `secret`: the text is one that should not be read from the screen. `name`: of what stands at the target.
export const words = (step, secret = false, name = "") => [
  h("b", {}, t(`action_${step.action}`)),
  step.action === "scroll" && step.direction && h("span", {}, t(`direction_${step.direction}`)),
  step.text && h("q", {}, secret ? HIDDEN : outcome(step)),
  step.target && (step.target.label || name) && h("span", { class: "on" }, t("step_on", { label: step.target.label || name })),
  step.action === "wait" && step.amount !== null && h("span", {}, `${number(step.amount, 1)} s`),
].filter(Boolean).flatMap((part, place) => (place ? [" ", part] : [part]));

const outcome = (step) => (step.action === "done" && ["success", "failure"].includes(step.text) ? t(`ended_${step.text}`) : step.text);

// Where the step aims, over a picture of `width` by `height` pixels.
export function overlay(step, width, height, secret, name) {
  const share = (value, whole) => `${(100 * value) / whole}%`;
  const at = ([x, y]) => ({ left: share(x, width), top: share(y, height) });
  const shapes = [];
  let from = step.target && middle(step.target), to = step.end && step.end.pixels;
  const place = from;
  if (step.target?.pixels.length === 4) {
    const [x1, y1, x2, y2] = step.target.pixels;
    shapes.push(h("i", { class: "aim box", style: { ...at([x1, y1]), width: share(x2 - x1, width), height: share(y2 - y1, height) } }));
  }
  if (step.action === "scroll" && step.direction) {
    const [dx, dy] = { up: [0, -1], down: [0, 1], left: [-1, 0], right: [1, 0] }[step.direction];
    const [x, y] = place ?? [width / 2, height / 2], reach = 0.12 * Math.min(width, height);
    [from, to] = [[x - reach * dx, y - reach * dy], [x + reach * dx, y + reach * dy]];
  }
  if (from && to) shapes.push(arrow(from, to, width, height));
  if (place) shapes.push(h("i", { class: "aim cross", style: at(place) }));
  const [x, y] = place ?? [width / 2, height];
  const sides = `${x > 0.6 * width ? " far" : ""}${y > 0.75 * height ? " high" : ""}${place ? "" : " nowhere"}`;
  shapes.push(h("p", { class: `aim words${sides}`, style: at([x, y]) }, words(step, secret, name)));
  return shapes;
}

function arrow([x1, y1], [x2, y2], width, height) {
  const long = Math.hypot(x2 - x1, y2 - y1) || 1, tip = 0.025 * Math.min(width, height) + 6;
  const [ux, uy] = [(x2 - x1) / long, (y2 - y1) / long];
  const head = [[x2, y2], [x2 - tip * ux + 0.6 * tip * uy, y2 - tip * uy - 0.6 * tip * ux], [x2 - tip * ux - 0.6 * tip * uy, y2 - tip * uy + 0.6 * tip * ux]];
  return h("svg", { class: "aim arrow", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    h("path", { d: `M${x1} ${y1}L${x2 - tip * ux} ${y2 - tip * uy}` }), h("polygon", { points: head.map((point) => point.join(",")).join(" ") }));
}

// A form for a step of a person's own. Says what it holds with every change, so that it can be drawn.
export class StepForm {
  constructor(step, width, height, { changed, taken, cancelled, secret }) {
    Object.assign(this, { width, height, changed, secret, placing: "target" });
    this.step = { action: "click", target: null, end: null, text: "", direction: null, amount: null, ...step };
    this.notice = h("p", { role: "alert", class: "notice", hidden: true });
    this.fields = h("div", { class: "fields" });
    const kind = h("select", { "aria-label": t("step_action"), onchange: () => {
      this.step.action = kind.value;
      this.placing = "target";
      this.draw();
    } }, KINDS.map((value) => h("option", { value, selected: value === this.step.action }, t(`action_${value}`))));
    this.element = h("form", { class: "step-form", novalidate: true, onsubmit: (event) => {
      event.preventDefault();
      const body = this.body();
      if (typeof body === "string") [this.notice.textContent, this.notice.hidden] = [body, false];
      else taken(body);
    } }, h("label", { class: "row" }, h("span", { class: "label" }, t("step_action")), kind), this.fields, this.notice,
      h("div", { class: "row" }, h("button", { class: "primary" }, t("step_take")), h("button", { type: "button", class: "plain", onclick: cancelled }, t("cancel"))));
    this.draw();
  }

  needs(field) {
    const { action } = this.step;
    if (field === "target") return [...PLACED, "type", "scroll"].includes(action);
    if (field === "end") return action === "drag";
    if (field === "text") return WRITTEN.includes(action);
    if (field === "direction") return action === "scroll";
    return action in AMOUNTS;
  }

  draw() {
    const { step } = this, rows = [];
    const row = (label, inputs) => rows.push(h("div", { class: "row" }, h("span", { class: "label" }, label), inputs));
    for (const name of ["target", "end"].filter((each) => this.needs(each))) {
      const [x, y] = step[name] ? middle(step[name]) : ["", ""];
      const inputs = [["x", x, this.width], ["y", y, this.height]].map(([axis, value, most]) =>
        h("input", { type: "number", min: 0, max: most, value: value === "" ? "" : Math.round(value), "aria-label": `${t(`step_${name}`)} ${axis}`,
          onfocus: () => (this.placing = name), oninput: () => this.put(name, inputs.map((input) => input.value)) }));
      row(t(`step_${name}`), inputs);
    }
    if (this.needs("target")) rows.push(h("small", { class: "hint" }, t("step_place_hint")));
    if (this.needs("text")) {
      const input = h("input", { type: this.secret && step.action === "type" ? "password" : "text", value: step.text, maxlength: 5000, "aria-label": t(`step_text_${step.action}`), autocomplete: "off", oninput: () => this.set("text", input.value) });
      row(t(`step_text_${step.action}`), input);
    }
    if (this.needs("direction")) {
      const input = h("select", { "aria-label": t("step_direction"), onchange: () => this.set("direction", input.value) }, ["up", "down", "left", "right"].map((value) => h("option", { value, selected: value === (step.direction ?? "down") }, t(`direction_${value}`))));
      step.direction ??= "down";
      row(t("step_direction"), input);
    }
    if (this.needs("amount")) {
      const input = h("input", { type: "number", min: 0, step: "any", value: step.amount ?? "", "aria-label": t(AMOUNTS[step.action]), oninput: () => this.set("amount", input.value === "" ? null : Number(input.value)) });
      row(t(AMOUNTS[step.action]), input);
    }
    fill(this.fields, rows);
    this.notice.hidden = true;
    this.changed(this.shown());
  }

  set(name, value) {
    this.step[name] = value;
    this.changed(this.shown());
  }

  put(name, pixels) {
    const given = pixels.every((value) => value !== "");
    this.set(name, given ? { label: "", pixels: pixels.map(Number) } : null);
  }

  // A click on the picture, in its pixels.
  click(x, y) {
    if (!this.needs("target")) return;
    this.put(this.placing, [Math.round(x), Math.round(y)]);
    this.placing = this.needs("end") && this.placing === "target" ? "end" : "target";
    this.draw();
  }

  // Without what this kind of step has no use for.
  shown() {
    const { step } = this, kept = { action: step.action };
    for (const [name, none] of [["target", null], ["end", null], ["text", ""], ["direction", null], ["amount", null]]) kept[name] = this.needs(name) ? step[name] : none;
    return kept;
  }

  body() {
    const { action, target, end, text, direction, amount } = this.shown(), body = { action };
    if (PLACED.includes(action) && !target) return t("step_no_target");
    if (action === "drag" && !end) return t("step_no_end");
    if (["type", "key", "button"].includes(action) && !text) return t("step_no_text");
    if (target) Object.assign(body, { target: target.pixels, label: (target.label ?? "").slice(0, 300) });
    if (end) body.end = end.pixels;
    if (text) body.text = text;
    if (direction) body.direction = direction;
    if (amount !== null) body.amount = amount;
    return body;
  }
}
