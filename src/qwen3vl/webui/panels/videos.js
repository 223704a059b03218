// The place of long videos: where one is put to be indexed, and the indexes there are. `video_index.js` shows one.

import { get, post, remove, upload } from "../static/api.js";
import { bytes, clock, fill, h, icon, iconButton } from "../static/dom.js";
import { model } from "../static/models.js";
import { currentLanguage, explain, number, t } from "../static/texts.js";
import { openIndex } from "./video_index.js";

const POLL_MS = 1500;
const LENGTHS = [15, 30, 60, 120, 300]; // seconds of a segment
const RATES = [0.5, 1, 2]; // frames a second
const draft = { focus: "", length: 60, rate: 1, mode: null };
let waiting = null; // a video of a conversation that is to be indexed
let dropped = null; // a file that came where another video is looked at

// A video that the server has already.
export function bring(file, ui) {
  waiting = file;
  ui.goTo("videos");
}

export default {
  icon: "film",
  open: (element, id, ui) => (id === null ? begin(element, ui) : openIndex(element, id, ui, drop)),
};

function drop(file, ui) {
  dropped = file;
  ui.goTo("videos");
}

function begin(element, ui) {
  const control = new AbortController();
  const list = h("ul", { class: "entries films", "aria-label": t("indexes") });
  const former = h("section", { hidden: true }, h("h3", {}, t("indexes")), list);
  const intake = new Intake(ui, control.signal);
  fill(element, h("div", { class: "reading" }, h("p", { class: "lead" }, t("videos_lead")), intake.element, former));
  const refresh = async () => {
    const found = await get("v1/indexes").catch(() => null);
    if (control.signal.aborted) return;
    if (found) {
      former.hidden = !found.data.length;
      if (!list.contains(document.activeElement) || !list.querySelector(".danger")) fill(list, found.data.map((index) => entry(index, ui, refresh)));
    }
    if (found?.data.some((index) => index.state === "working")) setTimeout(() => control.signal.aborted || refresh(), POLL_MS);
  };
  refresh();
  if (waiting) intake.put(waiting);
  if (dropped) intake.take(dropped);
  waiting = dropped = null;
  return { close: () => control.abort(), takeFiles: (files) => intake.take(files[0]) };
}

function entry(index, ui, refresh) {
  const { described, segments } = index.progress;
  const item = h("li", { "data-id": index.id });
  const erase = () => {
    const sure = h("button", { type: "button", class: "danger", onclick: async () => {
      await remove(`v1/indexes/${index.id}`).catch(() => {});
      sure.blur();
      refresh();
    } }, t("delete"));
    fill(item, h("span", { class: "question-line" }, t("delete_sure")), sure, h("button", { type: "button", class: "plain", onclick: draw }, t("keep")));
    sure.focus();
  };
  const draw = () => fill(item,
    h("button", { type: "button", class: "entry", onclick: () => ui.goTo("videos", index.id) },
      segments ? h("img", { src: `page/indexes/${index.id}/segments/0/picture`, alt: "", loading: "lazy" }) : h("span", { class: "no-picture" }, icon("film")),
      h("span", { class: "lines" }, h("b", {}, index.name || t("kind_video")),
        h("span", { class: "state", "data-state": index.state }, t(`index_${index.state}`)),
        h("small", {}, [segments && t("index_segments", { done: described, all: segments }), new Date(index.created * 1000).toLocaleString(currentLanguage(), { dateStyle: "medium", timeStyle: "short" }), index.settings.focus].filter(Boolean).join(" · ")),
        index.state === "working" && segments && h("progress", { max: segments, value: described, "aria-label": t("index_working") }))),
    iconButton("trash", t("delete"), erase));
  draw();
  return item;
}

// Takes a video in: dropped, pasted or picked; sends it, and begins its index.
class Intake {
  constructor(ui, signal) {
    Object.assign(this, { ui, signal, file: null });
    this.picker = h("input", { type: "file", class: "unseen", tabindex: -1, "aria-label": t("videos_pick"), accept: "video/mp4,video/webm,video/quicktime", onchange: () => {
      this.take(this.picker.files[0]);
      this.picker.value = "";
    } });
    this.target = h("div", { class: "target" });
    this.notice = h("p", { role: "alert", class: "notice", hidden: true });
    this.settings = h("div", { class: "fields" });
    this.element = h("section", { class: "sheet" }, this.picker, this.target, this.settings, this.notice);
    this.drawSettings();
    this.draw();
  }

  draw() {
    const { file } = this;
    this.target.dataset.state = file?.state ?? "empty";
    if (!file) {
      return fill(this.target, h("button", { type: "button", class: "pick", onclick: () => this.picker.click() }, icon("film"), h("b", {}, t("videos_pick")), h("small", {}, t("videos_formats", { size: bytes(this.ui.maxFile) }))));
    }
    const facts = [file.width && `${file.width} × ${file.height}`, file.duration && clock(file.duration), file.size && bytes(file.size)];
    const ready = file.state === "ready";
    fill(this.target, h("div", { class: "chosen" }, icon("film"), h("span", { class: "lines" }, h("b", {}, file.name || t("kind_video")), h("small", {}, ready ? facts.filter(Boolean).join(" · ") : t("uploading")),
      !ready && h("progress", { max: 1, value: file.progress, "aria-label": t("uploading") })),
      iconButton("close", t("remove_file", { name: file.name }), () => this.drop())),
      ready && h("button", { type: "button", class: "primary", onclick: () => this.start() }, t("videos_start")));
    if (ready) this.target.querySelector(".primary").focus();
  }

  drawSettings() {
    const select = (name, values, words) => {
      const input = h("select", { id: `videos-${name}`, onchange: () => (draft[name] = Number(input.value)) }, values.map((value) => h("option", { value, selected: value === draft[name] }, words(value))));
      return h("label", { class: "row", for: `videos-${name}` }, h("span", { class: "label" }, t(`videos_${name}`)), input);
    };
    const focus = h("input", { value: draft.focus, maxlength: 1000, placeholder: t("videos_focus_hint"), "aria-label": t("videos_focus"), oninput: () => (draft.focus = focus.value) });
    const modes = model.info?.is_moe && h("select", { id: "videos-mode", onchange: (event) => (draft.mode = event.target.value) }, Object.entries(model.modes).map(([value, active]) =>
      h("option", { value, selected: value === (draft.mode ?? model.settings?.mode ?? "full") }, t("mode_choice", { name: t(`mode_${value}`), active, total: model.info.num_experts }))));
    fill(this.settings, h("label", { class: "row" }, h("span", { class: "label" }, t("videos_focus")), focus),
      h("details", { class: "folded" }, h("summary", {}, t("more")),
        select("length", LENGTHS, (value) => t("videos_seconds", { count: value })), select("rate", RATES, (value) => t("frames_a_second", { count: number(value, 1) })),
        modes && h("label", { class: "row", for: "videos-mode" }, h("span", { class: "label" }, t("mode")), modes)));
  }

  tell(words) {
    [this.notice.textContent, this.notice.hidden] = [words, words === ""];
  }

  put(file) {
    this.file = { ...file, state: "ready" };
    this.draw();
  }

  drop() {
    this.sending?.abort();
    this.file = null;
    this.draw();
  }

  async take(file) {
    if (!file) return;
    this.drop();
    this.tell("");
    if (!file.type.startsWith("video/")) return this.tell(t("videos_only"));
    if (file.size > this.ui.maxFile) return this.tell(t("too_large", { size: bytes(this.ui.maxFile) }));
    const sending = (this.sending = new AbortController());
    this.signal.addEventListener("abort", () => sending.abort());
    const mine = (this.file = { name: file.name, size: file.size, state: "uploading", progress: 0 });
    this.draw();
    try {
      const found = await upload(file, (progress) => {
        mine.progress = progress;
        const bar = this.target.querySelector("progress");
        if (bar && this.file === mine) bar.value = progress;
      }, sending.signal);
      if (this.file === mine) this.put(found);
    } catch (error) {
      if (sending.signal.aborted) return;
      this.drop();
      this.tell(explain(error));
    }
  }

  async start() {
    const { media, name } = this.file;
    const body = { video: { type: "video", media, name }, language: currentLanguage(), focus: draft.focus.trim(), segment_seconds: draft.length, fps: draft.rate };
    if (model.info?.is_moe) body.mode = draft.mode ?? model.settings?.mode ?? "full";
    try {
      const index = await post("v1/indexes", body);
      draft.focus = "";
      this.ui.goTo("videos", index.id);
    } catch (error) {
      this.tell(explain(error));
    }
  }
}
