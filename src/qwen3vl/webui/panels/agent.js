// The place of GUI agents: where one begins, and those there are. `agent_session.js` shows one at work.

import { get, post, remove } from "../static/api.js";
import { fill, h, icon, iconButton } from "../static/dom.js";
import { model } from "../static/models.js";
import { currentLanguage, explain, t } from "../static/texts.js";
import { openSession } from "./agent_session.js";

const SIZES = { web: [1280, 800], phone: [412, 892] };
const LEAST = 200, MOST = 2560; // pixels of a side
const FORMS = ["native", "json"];

// What is being filled in stays while other things are looked at.
const draft = { goal: "", from: "url", url: "", html: "", hosts: "", platform: "web", width: "", height: "", form: "native", strict: false };
export const refill = (values) => Object.assign(draft, values);

export default {
  icon: "pointer",
  open: (element, id, ui) => (id === null ? begin(element, ui) : openSession(element, id, ui, refill)),
};

function begin(element, ui) {
  const list = h("ul", { class: "entries", "aria-label": t("agent_sessions") });
  const former = h("section", { hidden: true }, h("h3", {}, t("agent_sessions")), list);
  const refresh = async () => {
    const found = await get("v1/agent/sessions").catch(() => ({ data: [] }));
    former.hidden = !found.data.length;
    fill(list, found.data.map((session) => entry(session, ui, refresh)));
  };
  const form = startForm(ui);
  fill(element, h("div", { class: "reading" }, h("p", { class: "lead" }, t("agent_lead")), form.element, former));
  refresh();
  if (matchMedia("(min-width: 900px)").matches) form.element.querySelector("textarea").focus();
  return { close: () => form.leave(), takeFiles: (files) => form.takeFiles(files) };
}

function entry(session, ui, refresh) {
  const open = !["stopped", "failed"].includes(session.state);
  return h("li", { "data-id": session.id },
    h("button", { type: "button", class: "entry", onclick: () => ui.goTo("agent", session.id) },
      h("span", { class: "state", "data-state": session.state }, t(`agent_${session.state}`)),
      h("b", {}, session.goal),
      h("small", {}, [whereabouts(session), t("agent_steps", { count: session.steps.length }), clockOf(session.created)].filter(Boolean).join(" · "))),
    iconButton(open ? "stop" : "trash", t(open ? "agent_stop" : "delete"), async () => {
      await (open ? post(`v1/agent/sessions/${session.id}/stop`) : remove(`v1/agent/sessions/${session.id}`)).catch(() => {});
      refresh();
    }));
}

const whereabouts = (session) => (session.url === "http://page.invalid/" ? session.title || t("agent_own_html") : session.url.replace(/^https?:\/\//, "").slice(0, 60));
const clockOf = (time) => new Date(time * 1000).toLocaleTimeString(currentLanguage(), { hour: "2-digit", minute: "2-digit" });

function startForm(ui) {
  const notice = h("p", { role: "alert", class: "notice", hidden: true });
  let left = false;
  const go = h("button", { class: "primary" }, t("agent_begin"));
  const where = h("div", {});
  const sizes = h("div", { class: "pair" });
  const bind = (tag, name, attributes) => {
    const input = h(tag, { value: draft[name], ...attributes, oninput: () => (draft[name] = input.value) });
    return input;
  };
  const choice = (name, values, label, changed = () => {}) =>
    h("div", { class: "choice", role: "radiogroup", "aria-label": label }, values.map(([value, words]) => {
      const input = h("input", { type: "radio", name: `agent-${name}`, value, checked: draft[name] === value, onchange: () => {
        draft[name] = value;
        changed();
      } });
      return h("label", {}, input, h("span", {}, words));
    }));
  const drawWhere = () => fill(where, draft.from === "url"
    ? bind("input", "url", { type: "url", placeholder: "https://", "aria-label": t("agent_url"), spellcheck: "false", autocapitalize: "off" })
    : bind("textarea", "html", { rows: 6, class: "mono", placeholder: t("agent_html_hint"), "aria-label": t("agent_html"), spellcheck: "false" }));
  const drawSizes = () => fill(sizes, ["width", "height"].map((side, place) =>
    bind("input", side, { type: "number", min: LEAST, max: MOST, placeholder: String(SIZES[draft.platform][place]), "aria-label": t(`agent_${side}`) })).flatMap((input, place) => (place ? [h("span", { "aria-hidden": "true" }, "×"), input] : [input])));
  const goal = bind("textarea", "goal", { rows: 2, maxlength: 4000, placeholder: t("agent_goal_hint"), required: true, id: "agent-goal" });
  const sample = h("button", { type: "button", class: "text-button", onclick: () => {
    refill({ goal: t("agent_sample_goal"), from: "html", html: t("agent_sample_html") });
    goal.value = draft.goal;
    form.querySelector('[name="agent-from"][value="html"]').checked = true;
    drawWhere();
    go.focus();
  } }, icon("eye"), t("agent_sample"));
  const hosts = bind("textarea", "hosts", { rows: 2, class: "mono", placeholder: "example.org\n*.example.org", spellcheck: "false", id: "agent-hosts", "aria-describedby": "agent-hosts-help" });
  const strict = h("input", { type: "checkbox", checked: draft.strict, onchange: () => (draft.strict = strict.checked) });
  const modes = model.info?.is_moe ? h("select", { id: "agent-mode" }, Object.entries(model.modes).map(([value, active]) =>
    h("option", { value, selected: value === (model.settings?.mode ?? "full") }, t("mode_choice", { name: t(`mode_${value}`), active, total: model.info.num_experts })))) : null;
  const form = h("form", { class: "sheet", novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    notice.hidden = true;
    const body = asked(modes?.value);
    if (typeof body === "string") return tell(body);
    go.disabled = true;
    fill(go, t("agent_opening"));
    try {
      const made = await post("v1/agent/sessions", body);
      refill({ goal: "" });
      if (!left) ui.goTo("agent", made.id); // else it is in the list
    } catch (error) {
      tell(explain(error));
    } finally {
      go.disabled = false;
      fill(go, t("agent_begin"));
    }
  } },
    h("label", { class: "wide-field", for: "agent-goal" }, h("span", {}, t("agent_goal"))), goal,
    h("div", { class: "row" }, h("span", { class: "label" }, t("agent_where")), choice("from", [["url", t("agent_url")], ["html", t("agent_html")]], t("agent_where"), drawWhere), h("span", { class: "gap" }), sample),
    where,
    h("details", { class: "folded", open: draft.hosts !== "" }, h("summary", {}, t("agent_hosts")), hosts, h("small", { id: "agent-hosts-help" }, t("agent_hosts_help"))),
    h("div", { class: "row" }, h("span", { class: "label" }, t("agent_screen")), choice("platform", ["web", "phone"].map((value) => [value, t(`choice_${value}`)]), t("agent_screen"), drawSizes), sizes),
    h("details", { class: "folded" }, h("summary", {}, t("more")),
      h("div", { class: "row" }, h("span", { class: "label" }, t("agent_form")), choice("form", FORMS.map((value) => [value, t(`choice_${value}`)]), t("agent_form"))),
      h("label", { class: "row" }, strict, h("span", {}, t("agent_strict"))),
      modes && h("label", { class: "row", for: "agent-mode" }, h("span", { class: "label" }, t("mode")), modes)),
    notice,
    h("div", { class: "row" }, go, h("small", { class: "hint" }, t("agent_safety"))));
  const tell = (words) => [notice.textContent, notice.hidden] = [words, false];
  drawWhere();
  drawSizes();
  return {
    element: form,
    leave: () => (left = true),
    async takeFiles(files) {
      const page = [...files].find((file) => /html/.test(file.type));
      if (!page) return tell(t("agent_only_html"));
      refill({ from: "html", html: await page.text() });
      form.querySelector('[name="agent-from"][value="html"]').checked = true;
      drawWhere();
    },
  };
}

// The body of the request, or a sentence that says what is missing.
function asked(mode) {
  const start = draft[draft.from].trim();
  if (!draft.goal.trim()) return t("agent_no_goal");
  if (!start) return t(draft.from === "url" ? "agent_no_url" : "agent_no_html");
  const body = {
    goal: draft.goal.trim(), platform: draft.platform, form: draft.form, strict: draft.strict, language: currentLanguage(),
    allow_hosts: draft.hosts.split(/[\s,]+/).filter(Boolean),
    [draft.from]: draft.from === "url" && !/^[a-z]+:/i.test(start) ? `https://${start}` : start,
  };
  for (const side of ["width", "height"]) {
    if (draft[side] === "") continue;
    const value = Number(draft[side]);
    if (!Number.isInteger(value) || value < LEAST || value > MOST) return t("agent_bad_size", { least: LEAST, most: MOST });
    body[side] = value;
  }
  if (mode) body.mode = mode;
  return body;
}
