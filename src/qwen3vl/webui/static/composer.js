// Where a question is made: files, task with its parameters, mode, sampling, and the text itself.

import { ask, bus, isRunning, open, stop } from "./conversation.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { Files } from "./files.js";
import { Form } from "./form.js";
import { model } from "./models.js";
import { explain, number, t, currentLanguage } from "./texts.js";
import { Tuning } from "./tuning.js";
import { takePicture } from "./webcam.js";

const LONGEST = 200; // pixels that the text may grow to

export class Composer {
  constructor(root, ui) {
    Object.assign(this, { root, ui, task: "chat", mode: null, parent: undefined });
    this.files = new Files(ui, () => this.describeFiles());
    this.form = new Form();
    this.tuning = new Tuning();
    bus.addEventListener("changed", () => this.follow());
    bus.addEventListener("turn", () => {
      this.drawButton();
      this.notice.hidden = true; // whatever it was, the answer goes on
    });
    bus.addEventListener("offline", () => this.fail(new Error(t("server_gone"))));
    bus.addEventListener("ended", () => this.drawButton());
    this.draw();
  }

  get entry() {
    return this.ui.tasks.find((task) => task.name === this.task);
  }

  draw() {
    const kept = this.text?.value ?? "";
    this.text = h("textarea", { rows: 1, "aria-label": t("question"), "aria-describedby": "task-summary", onkeydown: (event) => this.key(event), oninput: () => this.grow() });
    this.text.value = kept;
    this.notice = h("p", { role: "alert", class: "notice", hidden: true });
    this.picker = h("input", { type: "file", multiple: true, class: "unseen", tabindex: -1, "aria-label": t("add_files"),
      accept: "image/png,image/jpeg,image/webp,image/gif,image/bmp,video/mp4,video/webm,video/quicktime,application/pdf", onchange: () => {
        this.files.add(this.picker.files);
        this.picker.value = "";
      } });
    this.tasks = h("select", { id: "task", "aria-label": t("task"), onchange: () => this.chooseTask(this.tasks.value) },
      this.ui.tasks.map((task) => h("option", { value: task.name, selected: task.name === this.task }, task.title[currentLanguage()])));
    this.modes = h("select", { id: "mode", "aria-label": t("mode"), onchange: () => {
      this.mode = this.modes.value;
      this.describe();
    } });
    this.summary = h("p", { class: "summary", id: "task-summary" });
    this.send = h("button", { type: "button", class: "send", onclick: () => (isRunning() ? this.stop() : this.submit()) });
    this.editing = h("div", { class: "editing", hidden: true });
    this.tune = iconButton("tune", t("tuning"), () => this.toggleTuning(), { "aria-expanded": "false" });
    fill(this.root, this.notice, this.editing, h("div", { class: "extras" }, this.files.draw(), this.form.draw(this.entry), this.tuning.draw()),
      h("div", { class: "box" }, this.text,
        h("div", { class: "bar" }, this.picker,
          iconButton("clip", t("add_files"), () => this.picker.click()),
          iconButton("camera", t("webcam"), () => takePicture((file) => this.files.add([file]), (error) => this.fail(error))),
          this.tasks, this.modes, this.tune, h("span", { class: "gap" }), this.send)),
      this.summary);
    this.modelChanged();
    this.chooseTask(this.task, true);
    this.drawEditing();
    this.drawButton();
    this.grow();
  }

  modelChanged() {
    const modes = Object.entries(model.modes ?? { full: 1 });
    this.mode ??= model.settings?.mode ?? "full";
    this.modes.hidden = !model.info?.is_moe;
    fill(this.modes, modes.map(([name, active]) =>
      h("option", { value: name, selected: name === this.mode }, t("mode_choice", { name: t(`mode_${name}`), active, total: model.info?.num_experts ?? 1 }))));
    this.tuning.modelChanged(model);
    this.files.modelChanged(model);
    this.describe();
  }

  chooseTask(name, keep = false) {
    this.task = name;
    this.tasks.value = name;
    const entry = this.entry;
    if (!keep || !this.form.isFor(entry)) this.form.show(entry);
    const wanted = entry.text_param ? entry.params[entry.text_param] : null;
    const text = wanted && (currentLanguage() === "zh" ? wanted.zh : wanted);
    this.text.placeholder = name === "chat" ? t("placeholder") : text ? t("title_and_help", { title: text.title, help: text.description }) : t("placeholder_notes");
    this.describe();
  }

  // One line each on what the task does, what the mode costs, and what the files do.
  describe() {
    const active = model.modes?.[this.mode];
    const speed = model.speeds?.[this.mode];
    const parts = [this.entry.summary[currentLanguage()]];
    if (model.info?.is_moe && active)
      parts.push(t(speed ? "mode_cost_measured" : "mode_cost", { active, total: model.info.num_experts, speed: number(speed ?? 0), share: Math.round((100 * active) / model.info.num_experts_per_tok) }));
    else if (model.info && speed) parts.push(t("dense_measured", { speed: number(speed) }));
    const place = this.ui.panels.find((panel) => panel.place?.includes(this.task));
    fill(this.summary, parts.map((part) => h("span", {}, part)),
      place && h("button", { type: "button", class: "text-button", onclick: () => this.ui.goTo(place.name) }, t(`open_${place.name}`), icon("right")));
  }

  describeFiles() {
    this.notice.hidden = true;
    this.drawButton();
  }

  drawButton() {
    const running = isRunning();
    this.send.classList.toggle("stopping", running);
    this.send.setAttribute("aria-label", t(running ? "stop" : "send"));
    this.send.title = t(running ? "stop_hint" : "send_hint");
    if (this.send.dataset.shows !== String(running)) fill(this.send, icon(running ? "stop" : "send"));
    this.send.dataset.shows = String(running);
  }

  toggleTuning() {
    this.tuning.toggle();
    this.tune.setAttribute("aria-expanded", String(this.tuning.isOpen));
  }

  grow() {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight, LONGEST)}px`;
  }

  key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!isRunning()) this.submit();
  }

  stop() {
    stop().catch((error) => this.fail(error));
  }

  fail(error) {
    this.notice.textContent = explain(error);
    this.notice.hidden = false;
  }

  // What is asked, or nothing where something is missing, which is then said.
  question() {
    const text = this.text.value.trim(), entry = this.entry;
    let files = this.files.ready();
    if (files === null) return this.missing(t("files_not_ready"));
    const params = this.form.values();
    if (typeof params === "string") return this.missing(params);
    const accepts = (file) => entry.needs.includes(file.type === "pdf" ? "document" : file.type);
    if (entry.needs.length && !files.some(accepts)) {
      // The files of an earlier question do as well.
      const earlier = this.parent === undefined ? open.turns.findLast((turn) => turn.files?.some(accepts)) : null;
      if (!earlier) return this.missing(t("needs_file", { kinds: entry.needs.map((kind) => t(`needs_${kind}`)).join(t("or")) }));
      files = earlier.files;
    }
    if (entry.text_param && entry.required.includes(entry.text_param) && !text && !(entry.name === "chat" && files.length))
      return this.missing(t("no_question"));
    return { text, files, params, entry };
  }

  missing(text) {
    this.fail(new Error(text));
    this.text.focus();
    return null;
  }

  async submit() {
    if (isRunning()) return;
    const asked = this.question();
    if (!asked) return;
    const content = asked.files.map(({ type, media, name }) => ({ type, media, name }));
    if (asked.text) content.push({ type: "text", text: asked.text });
    const body = { ...this.how(), content, language: currentLanguage(), task: asked.entry.name };
    if (asked.entry.name !== "chat") body.params = asked.params;
    if (this.parent !== undefined) body.parent = this.parent;
    const kept = { text: this.text.value, files: this.files.take(), parent: this.parent };
    this.text.value = "";
    this.parent = undefined;
    this.notice.hidden = true;
    this.form.fold();
    this.drawEditing();
    this.grow();
    const pending = { under: body.parent, text: asked.text, files: asked.files, title: asked.entry.name === "chat" ? "" : asked.entry.title[currentLanguage()] };
    if (!(await ask(body, pending)) && !this.text.value) {
      this.text.value = kept.text;
      this.files.put(kept.files);
      this.parent = kept.parent;
      this.drawEditing();
      this.grow();
    }
  }

  regenerate(question) {
    ask({ ...this.how(), parent: question.id }, { again: true, under: question.id });
  }

  // Model, mode, sampling and resolution, as far as they are not the usual.
  how() {
    const options = { ...this.tuning.options(), ...this.files.options() };
    if (model.info?.is_moe) options.mode = this.mode;
    return { system: this.tuning.system, options };
  }

  edit(turn) {
    const request = turn.request ?? {};
    const entry = this.ui.tasks.find((task) => task.name === (request.task ?? "chat"));
    this.parent = turn.parent;
    this.files.put(turn.files);
    this.chooseTask(entry.name);
    this.form.set(request.params ?? {});
    this.text.value = entry.name === "chat" ? turn.text : entry.text_param ? (request.params[entry.text_param] ?? "") : turn.text.split("\n\n").slice(1).join("\n\n");
    this.drawEditing();
    this.grow();
    this.text.focus();
  }

  drawEditing() {
    this.editing.hidden = this.parent === undefined;
    fill(this.editing, h("span", {}, t("editing")), h("button", { type: "button", class: "text-button", onclick: () => {
      this.parent = undefined;
      this.text.value = "";
      this.files.put([]);
      this.drawEditing();
      this.grow();
    } }, t("cancel")));
  }

  // Another conversation brings its own system prompt, sampling and mode.
  follow() {
    this.drawButton();
    if (this.shown === open.id) return;
    const began = this.shown === null && open.pending; // the one that this question has just made
    this.shown = open.id;
    if (began || open.id === null) return;
    const request = open.turns.findLast((turn) => turn.role === "assistant")?.request;
    if (request) {
      this.tuning.set(request.system ?? "", request.options ?? {});
      if (request.options?.mode) this.mode = request.options.mode;
      this.modelChanged();
    }
    this.parent = undefined;
    this.drawEditing();
  }
}
