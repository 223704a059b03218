// Which model runs: its figures; others to load, with how far that is; unloading; what went wrong.

import { get, post } from "./api.js";
import { bytes, fill, h, icon, iconButton } from "./dom.js";
import { explain, number, said, t } from "./texts.js";

const QUICK_MS = 400, SLOW_MS = 15_000;
const MOVING = ["downloading", "loading", "unloading"];
let badge, dialog, list, wish, ui;
let models = [], timer = null, before = "";
export let model = { ready: false, name: "" }; // what the composer must know of it

export function setUpModels(root, given) {
  ui = given;
  badge = h("button", { type: "button", class: "model-box", "aria-haspopup": "dialog", onclick: openDialog });
  root.append(badge);
  dialog = h("dialog", { class: "models" });
  document.querySelector("#app").append(dialog);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return follow();
}

async function follow() {
  clearTimeout(timer);
  try {
    models = (await get("v1/models")).data;
    const now = JSON.stringify(models.map((each) => [each.id, each.state]));
    if (now !== before) [before, model] = [now, await get("page/model")];
    ui.modelChanged();
    drawModels();
  } catch {
    drawBadge(t("server_gone"), "failed");
  }
  timer = setTimeout(follow, models.some((each) => MOVING.includes(each.state)) ? QUICK_MS : SLOW_MS);
}

export const refreshModel = async () => {
  model = await get("page/model");
  ui.modelChanged();
};

export function drawModels() {
  const first = models.find((each) => MOVING.includes(each.state)) ?? models[0];
  if (!first) return;
  const name = first.id.split("/").at(-1);
  drawBadge(name, first.state, first.state === "ready" ? facts(first) : stateOf(first), first);
  if (dialog.open) drawDialog();
}

function drawBadge(name, state, line = "", entry = null) {
  badge.dataset.state = state;
  fill(badge, icon("chip"), h("span", { class: "lines" }, h("b", {}, name), line && h("small", {}, line)), h("i", { class: "lamp", "aria-hidden": "true" }), entry && bar(entry));
  badge.setAttribute("aria-label", `${t("model")}: ${name}. ${line}`);
}

const count = (value) => (value >= 1e9 ? `${number(value / 1e9, 1)} B` : `${number(value / 1e6, 1)} M`);
const facts = (each) =>
  [count(each.parameters), each.is_moe ? t("experts_of", { active: each.num_experts_per_tok, total: each.num_experts }) : t("dense_short"), `${each.quantization === "none" ? each.dtype : each.quantization} · ${each.device}`].join(" · ");
const stateOf = (each) =>
  t(`model_${each.state}`) + (each.progress !== null && MOVING.includes(each.state) ? ` ${Math.round(each.progress * 100)} %` : "");
const bar = (each) =>
  MOVING.includes(each.state) && each.state !== "unloading"
    ? h("progress", { max: 1, value: each.progress ?? 0, "aria-label": t(`model_${each.state}`) })
    : null;

function openDialog() {
  wish = h("input", { placeholder: t("model_wish"), "aria-label": t("model_wish"), spellcheck: "false", autocomplete: "off" });
  list = h("ul", {});
  fill(dialog,
    h("header", {}, h("h2", {}, t("models")), iconButton("close", t("close"), () => dialog.close())),
    list,
    h("form", { class: "wish", onsubmit: (event) => {
      event.preventDefault();
      if (wish.value.trim()) act(wish.value.trim(), "load");
    } }, wish, h("button", { class: "primary" }, t("load"))),
    h("p", { class: "hint" }, t("models_hint")),
    h("p", { role: "alert", class: "notice", hidden: true }));
  drawDialog();
  dialog.showModal();
  follow();
}

function drawDialog() {
  const active = document.activeElement?.dataset?.key; // polling must not take the focus away
  fill(list, models.map((each) => {
    const loaded = each.state === "ready", moving = MOVING.includes(each.state);
    const action = loaded ? "unload" : "load";
    return h("li", { "data-state": each.state, "data-id": each.id },
      h("div", { class: "lines" }, h("b", {}, each.id),
        h("small", {}, loaded ? `${stateOf(each)} · ${facts(each)} · ${bytes(each.memory_bytes)} · ${t("context_tokens", { count: number(each.max_context) })}` : stateOf(each)),
        each.error && h("small", { class: "error" }, said(each.error)), bar(each)),
      h("button", { type: "button", class: loaded ? "plain" : "secondary", disabled: moving, "data-key": `${each.id} ${action}`, onclick: () => act(each.id, action) },
        t(each.state === "absent" ? "download" : action)));
  }));
  if (active) list.querySelector(`[data-key="${CSS.escape(active)}"]`)?.focus();
}

async function act(name, action) {
  const notice = dialog.querySelector('[role="alert"]');
  notice.hidden = true;
  try {
    await post(`v1/models/${name.split("/").map(encodeURIComponent).join("/")}/${action}`);
  } catch (error) {
    [notice.textContent, notice.hidden] = [explain(error), false];
  }
  follow();
}
