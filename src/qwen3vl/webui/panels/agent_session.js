// One GUI agent at work: what it sees, the step that it proposes drawn over that, a person's word, and what was done.

import { call, events, patch, post, remove } from "../static/api.js";
import { fill, h, icon, iconButton } from "../static/dom.js";
import { explain, said, t } from "../static/texts.js";
import { blocked, exportsOf, isClosed, isSecret, nameOf, proposalCard, takenCard, whyPaused } from "./agent_parts.js";
import { overlay, StepForm, words } from "./agent_step.js";

const RETRY_MS = 1000;
const wish = { steps: 10, sure: 70 }; // of a run, as last chosen

export const openSession = (element, id, ui, refill) => new SessionView(element, id, ui, refill);

class SessionView {
  constructor(element, id, ui, refill) {
    Object.assign(this, { ui, refill, base: `v1/agent/sessions/${id}`, view: null, looking: null, form: null, asking: null, error: "" });
    this.control = new AbortController();
    this.thumbs = new Map(); // by number of the step
    this.img = h("img", { alt: "" });
    this.marks = h("div", { class: "aims" });
    this.canvas = h("div", { class: "canvas", onclick: (event) => this.clicked(event) }, this.img, this.marks);
    this.where = h("div", { class: "where" });
    this.strip = h("ol", { class: "steps", "aria-label": t("agent_done_so_far"), onkeydown: (event) => this.turn(event) });
    this.status = h("p", { class: "status-line", role: "status" });
    this.side = h("div", { class: "controls" });
    fill(element, h("div", { class: "agent-view" },
      h("div", { class: "screen" }, this.where, h("div", { class: "stage" }, this.canvas), this.strip),
      h("div", { class: "desk" }, this.status, this.side)));
    this.follow();
  }

  close() {
    this.control.abort();
    URL.revokeObjectURL(this.img.src);
  }

  escape() {
    if (this.form) this.edit(null);
    else if (this.view?.auto) this.send("halt");
  }

  async follow() {
    const { signal } = this.control;
    while (!signal.aborted) {
      try {
        for await (const view of events(`${this.base}/events`, { signal })) this.take(view);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 404) return this.gone(error);
        this.status.textContent = t("server_gone");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  gone(error) {
    fill(this.side, h("p", { role: "alert", class: "notice" }, explain(error)),
      h("button", { type: "button", class: "secondary", onclick: () => this.ui.goTo("agent") }, t("all_agent")));
  }

  take(view) {
    if (this.control.signal.aborted) return;
    const begins = this.view === null && view.state === "ready" && !view.steps.length;
    this.view = view;
    if (this.form && view.busy) this.form = null;
    this.draw();
    this.refreshPicture();
    if (begins) this.send("propose");
  }

  // Asks the server for something. What it answers is shown as it comes with the events.
  async send(what, body = {}) {
    this.error = "";
    const control = (this.asking = new AbortController());
    try {
      this.take(await post(`${this.base}/${what}`, body, { signal: control.signal }));
      return true;
    } catch (error) {
      // What was under way when it was stopped has nothing more to say.
      if (!control.signal.aborted && error.code !== "agent_closed") this.error = explain(error);
      return false;
    } finally {
      if (this.asking === control) this.asking = null;
      if (this.view && !this.control.signal.aborted) this.draw();
    }
  }

  // A word on one step, and then the next is asked for.
  async then(what, body) {
    this.form = null;
    this.looking = null;
    if ((await this.send(what, body)) && this.view.state === "ready") await this.send("propose");
  }

  // Pictures.

  async refreshPicture() {
    this.stale = true;
    if (this.fetching) return;
    this.fetching = true;
    while (this.stale && this.looking === null) {
      this.stale = false;
      const blob = await call("GET", `${this.base}/screenshot`).then((answer) => answer.blob(), () => null);
      if (blob && this.looking === null && !this.control.signal.aborted) {
        URL.revokeObjectURL(this.img.src);
        this.img.src = URL.createObjectURL(blob);
      }
    }
    this.fetching = false;
  }

  look(number) {
    this.looking = number;
    if (number === null) this.refreshPicture();
    else this.img.src = `${this.base}/steps/${number}/screenshot`;
    this.draw();
  }

  clicked(event) {
    if (!this.form) return;
    const box = this.img.getBoundingClientRect();
    this.form.click(((event.clientX - box.left) / box.width) * this.view.width, ((event.clientY - box.top) / box.height) * this.view.height);
  }

  turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const buttons = [...this.strip.querySelectorAll("button")];
    buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  }

  edit(step) {
    const { view } = this;
    this.looking = null;
    this.form = step && new StepForm(step, view.width, view.height, {
      secret: isSecret(view.proposal),
      changed: (shown) => this.aim(shown, isSecret(view.proposal)),
      taken: (body) => this.then("act", { step: body }),
      cancelled: () => this.edit(null),
    });
    this.draw();
    (this.form?.element ?? this.side).querySelector("select, button")?.focus();
  }

  aim(step, secret = false, name = "") {
    fill(this.marks, step ? overlay(step, this.view.width, this.view.height, secret, name) : []);
  }

  // Drawing.

  draw() {
    const { view, looking } = this, taken = looking === null ? null : view.steps[looking - 1];
    const focus = this.side.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.canvas.style.setProperty("--ratio", view.width / view.height);
    this.canvas.classList.toggle("placing", this.form !== null);
    this.canvas.classList.toggle("ended", isClosed(view) && taken === null);
    Object.assign(this.img, { width: view.width, height: view.height, alt: t("agent_page_picture", { title: (taken ?? view).title }) });
    this.drawWhere(taken ?? view);
    if (taken) this.aim(taken.step);
    else if (this.form) this.aim(this.form.shown(), isSecret(view.proposal));
    else this.aim(isClosed(view) ? null : view.proposal?.step, isSecret(view.proposal), nameOf(view.proposal));
    this.drawStrip();
    this.drawStatus();
    fill(this.side, this.goal(), this.error && h("p", { role: "alert", class: "notice" }, this.error), taken ? this.past(taken) : this.present(),
      blocked(view), exportsOf(this.base), this.ending());
    if (focus) this.side.querySelector(`[data-key="${focus}"]`)?.focus();
  }

  drawWhere({ url, title }) {
    const own = url.startsWith("http://page.invalid/");
    const free = !isClosed(this.view) && !this.view.busy;
    fill(this.where, h("b", { title }, title || t("untitled")), h("code", { title: url }, own ? t("agent_own_html") : url),
      iconButton("again", t("agent_look"), () => this.send("look"), { disabled: !free }));
  }

  drawStrip() {
    const { steps } = this.view;
    this.strip.hidden = !steps.length;
    const items = steps.map((taken) => {
      const known = this.thumbs.get(taken.number) ?? h("li", {}, h("button", { type: "button", onclick: () => this.look(taken.number), "data-state": taken.outcome,
        title: t(`outcome_${taken.outcome}`) }, h("img", { src: `${this.base}/steps/${taken.number}/screenshot`, alt: "", loading: "lazy" }), h("span", {}, `${taken.number}. `, words(taken.step)[0])));
      this.thumbs.set(taken.number, known);
      known.firstChild.setAttribute("aria-current", String(this.looking === taken.number));
      return known;
    });
    this.now ??= h("li", { class: "now" }, h("button", { type: "button", onclick: () => this.look(null) }, h("span", {}, t("agent_now"))));
    this.now.firstChild.setAttribute("aria-current", String(this.looking === null));
    const longer = this.strip.children.length !== items.length + 1;
    if (longer) fill(this.strip, items, this.now);
    if (longer && this.looking === null) this.strip.scrollLeft = this.strip.scrollWidth;
  }

  drawStatus() {
    const { view } = this;
    const sentence = view.auto && !isClosed(view) ? t("agent_runs", { count: view.auto.steps_left, state: t(`agent_${view.state}`) }) : t(`agent_${view.state}`);
    fill(this.status, h("span", { class: "state", "data-state": view.state }, sentence));
  }

  goal() {
    return h("p", { class: "goal" }, h("small", {}, t("agent_goal")), h("span", {}, this.view.goal));
  }

  past(taken) {
    return [takenCard(taken), h("button", { type: "button", class: "secondary", "data-key": "now", onclick: () => this.look(null) }, t("agent_back_to_now"))];
  }

  present() {
    const { view } = this;
    if (isClosed(view)) return [view.error && h("p", { role: "alert", class: "notice" }, said(view.error)), this.result()];
    if (view.auto) return [view.proposal && proposalCard(view, this.ui.interface.token_counts), h("button", { type: "button", class: "secondary", "data-key": "halt", onclick: () => this.send("halt") }, icon("pause"), t("agent_halt"))];
    if (view.busy || this.asking) return this.busy();
    if (this.form) return this.form.element;
    if (view.state === "done") return [this.result(), this.another()];
    if (!view.proposal) return [whyPaused(view), h("div", { class: "row" }, this.button("propose", "primary", t("agent_propose"), () => this.send("propose")), this.button("own", "plain", t("agent_own_step"), () => this.edit({}))), this.run()];
    return [whyPaused(view), proposalCard(view, this.ui.interface.token_counts), ...this.word(), this.run()];
  }

  button(key, look, label, onclick, more = {}) {
    return h("button", { type: "button", class: look, "data-key": key, onclick, ...more }, label);
  }

  busy() {
    const waits = this.view.state === "proposing" || !this.view.busy;
    return h("div", { class: "row waiting" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
      waits && this.asking && this.button("cancel", "plain", t("cancel"), () => this.asking?.abort()));
  }

  // What a person may say to the proposed step.
  word() {
    const { proposal } = this.view, can = proposal.step !== null && !proposal.problem;
    const note = h("input", { maxlength: 500, placeholder: t("agent_skip_hint"), "aria-label": t("agent_skip_hint"), "data-key": "note" });
    const why = h("form", { class: "row", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      this.then("skip", { note: note.value.trim() });
    } }, note, h("button", { class: "secondary" }, t("agent_skip")));
    return [h("div", { class: "row words-bar" },
      this.button("confirm", "primary", [icon("check"), t("agent_confirm")], () => this.then("act", {}), { disabled: !can }),
      this.button("edit", "secondary", [icon("pencil"), t("agent_edit")], () => this.edit(proposal.step ?? {})),
      this.button("skip", "secondary", t("agent_skip"), () => {
        why.hidden = !why.hidden;
        if (!why.hidden) note.focus();
      })), why];
  }

  run() {
    const field = (key, name, limits) => {
      const input = h("input", { type: "number", ...limits, value: wish[key], "aria-label": t(name), "data-key": key, oninput: () => (wish[key] = Number(input.value)) });
      return input;
    };
    const [steps, sure] = [field("steps", "agent_run_steps", { min: 1, max: 100, step: 1 }), field("sure", "agent_run_sure", { min: 0, max: 100, step: 5 })];
    return h("form", { class: "run", onsubmit: (event) => {
      event.preventDefault();
      this.looking = null;
      this.send("run", { steps: wish.steps, min_confidence: wish.sure / 100 });
    } }, h("p", {}, t("agent_run_hint")), h("div", { class: "row" }, h("label", {}, steps, t("agent_run_steps")), h("label", {}, sure, t("agent_run_sure")),
      h("button", { class: "secondary", "data-key": "run" }, icon("play"), t("agent_run"))));
  }

  result() {
    const { view } = this;
    if (!view.result) return null;
    const ended = ["success", "failure"].includes(view.result) ? t(`ended_${view.result}`) : view.result;
    return h("p", { class: "result" }, h("small", {}, t("agent_result")), h("span", {}, ended));
  }

  another() {
    const input = h("input", { maxlength: 4000, placeholder: t("agent_goal_hint"), "aria-label": t("agent_another"), "data-key": "another" });
    return h("form", { class: "row", onsubmit: async (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      try {
        this.take(await patch(this.base, { goal: input.value.trim() }));
        await this.send("propose");
      } catch (error) {
        this.error = explain(error);
        this.draw();
      }
    } }, input, h("button", { class: "secondary" }, t("agent_another")));
  }

  ending() {
    const { view } = this;
    if (!isClosed(view)) return this.button("stop", "danger", [icon("stop"), t("agent_stop")], () => this.send("stop"));
    const again = () => {
      const own = view.url.startsWith("http://page.invalid/");
      this.refill({ goal: view.goal, platform: view.platform, hosts: view.allow_hosts.join("\n"), ...(!own && { from: "url", url: view.url }) });
      this.ui.goTo("agent");
    };
    return h("div", { class: "row" }, this.button("again", "primary", t("agent_begin_again"), again),
      this.button("forget", "plain", [icon("trash"), t("delete")], () => remove(this.base).then(() => this.ui.goTo("agent"), (error) => {
        this.error = explain(error);
        this.draw();
      })));
  }
}
