// Questions about a whole long video: each answered from the segments that have to do with it, with times to go to.

import { events } from "../static/api.js";
import { clock, copyText, fill, h, icon, iconButton, joules, seconds } from "../static/dom.js";
import { currentLanguage, explain, number, said, t } from "../static/texts.js";

const asked = new Map(); // by index: what was asked while the page is open

export class Questions {
  constructor(base, id, ui, seek) {
    Object.assign(this, { base, ui, seek, control: null });
    if (!asked.has(id)) asked.set(id, []);
    this.all = asked.get(id);
    this.input = h("textarea", { rows: 1, maxlength: 4000, placeholder: t("index_ask"), "aria-label": t("index_ask"), disabled: true, onkeydown: (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ask();
    } });
    this.send = h("button", { type: "button", class: "send", disabled: true, onclick: () => (this.control ? this.control.abort() : this.ask()) });
    this.list = h("ol", { class: "answers", "aria-live": "polite" }, this.all.map((each) => (each.element = this.item(each))));
    this.element = h("section", { class: "questions", "aria-label": t("index_questions") }, this.list, h("div", { class: "asking" }, this.input, this.send));
    this.drawButton();
  }

  ready(can) {
    this.can = can;
    this.input.disabled = !can;
    this.input.placeholder = t(can ? "index_ask" : "index_ask_later");
    this.drawButton();
  }

  close() {
    this.control?.abort();
  }

  drawButton() {
    const running = this.control !== null;
    this.send.disabled = !this.can;
    this.send.classList.toggle("stopping", running);
    this.send.setAttribute("aria-label", t(running ? "stop" : "index_send"));
    fill(this.send, icon(running ? "stop" : "send"));
  }

  async ask() {
    const question = this.input.value.trim();
    if (!question || this.control) return;
    this.input.value = "";
    const control = (this.control = new AbortController());
    const mine = { question, text: "", raw: "", moments: [], state: "running", error: "" };
    mine.element = this.item(mine);
    this.all.push(mine);
    this.list.append(mine.element);
    mine.element.scrollIntoView({ block: "nearest" });
    this.drawButton();
    try {
      const body = { question, language: currentLanguage(), stream: true };
      for await (const event of events(`${this.base}/ask`, { method: "POST", body, signal: control.signal })) {
        this.take(mine, event);
        this.redraw(mine);
      }
    } catch (error) {
      Object.assign(mine, control.signal.aborted ? { state: "stopped" } : { state: "failed", error: explain(error) });
    }
    if (mine.state === "running") mine.state = "done";
    this.control = null;
    this.redraw(mine);
    this.drawButton();
  }

  take(mine, event) {
    if (event.type === "text" && this.ui.interface.streaming) {
      mine.raw += event.text;
      mine.text = answerIn(mine.raw);
    } else if (event.type === "result") {
      const { text, events: moments, warnings } = event.result;
      Object.assign(mine, { text, moments, warnings, usage: event.usage, metrics: event.metrics });
    }
  }

  redraw(mine) {
    const fresh = this.item(mine);
    mine.element.replaceWith(fresh);
    mine.element = fresh;
  }

  item({ question, text, moments, state, error, usage, metrics, warnings = [] }) {
    const running = state === "running", short = (value) => clock(value).split(".")[0];
    const figures = usage && this.ui.interface.token_counts && [
      h("span", {}, h("b", {}, number(usage.completion_tokens)), ` ${t("stat_tokens")}`),
      metrics?.total_seconds && h("span", {}, h("b", {}, seconds(metrics.total_seconds))),
      metrics?.energy_joules != null && h("span", {}, h("b", {}, joules(metrics.energy_joules)), ` ${t("stat_energy")}`),
    ];
    return h("li", { "data-state": state },
      h("p", { class: "bubble" }, question),
      text ? h("p", { class: "text" }, text) : null,
      running && h("p", { class: "status running" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), t(text ? "state_running" : "index_looking")),
      moments.length > 0 && h("ul", { class: "moments" }, moments.map((moment) => h("li", {},
        h("button", { type: "button", class: "time", "aria-label": t("index_go_to", { time: short(moment.start) }), onclick: () => this.seek(moment.start) }, `${short(moment.start)} – ${short(moment.end)}`), h("span", {}, moment.title || moment.text)))),
      warnings.map((warning) => h("p", { class: "warning" }, said(warning))),
      error && h("p", { role: "alert", class: "notice" }, error),
      state === "stopped" && h("p", { class: "status stopped" }, h("span", { class: "state" }, t("state_stopped"))),
      state === "done" && h("div", { class: "tools" }, iconButton("copy", t("copy"), () => copyText(text)), h("span", { class: "status" }, ...(figures || []))));
  }
}

// The words of an answer that is JSON, as far as they have come.
function answerIn(raw) {
  const found = /"answer"\s*:\s*"((?:[^"\\]|\\.)*)/s.exec(raw);
  if (!found) return raw.trimStart().startsWith("{") ? "" : raw;
  try {
    return JSON.parse(`"${found[1]}"`);
  } catch {
    return "";
  }
}
