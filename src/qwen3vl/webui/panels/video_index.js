// One long video: the player, its chapters and segments as they are described, a search, questions, files to keep.

import { get, post, remove } from "../static/api.js";
import { clock, fill, h, icon } from "../static/dom.js";
import { explain, said, t } from "../static/texts.js";
import { Questions } from "./video_ask.js";

const POLL_MS = 1000;
const PAUSE_MS = 250; // after the last letter, before it is searched for
const COLOURS = 8;
const EXPORTS = { srt: "SRT", markdown: "MD", json: "JSON", csv: "CSV" };

export const openIndex = (element, id, ui, drop) => new IndexView(element, id, ui, drop);

class IndexView {
  constructor(element, id, ui, drop) {
    Object.assign(this, { ui, id, drop, base: `v1/indexes/${id}`, index: null, rows: new Map(), hits: null, pace: [] });
    this.control = new AbortController();
    this.head = h("header", { class: "index-head" });
    this.player = h("video", { controls: true, preload: "metadata", playsinline: true, ontimeupdate: () => this.follow(), onerror: () => this.unplayable() });
    this.strip = h("div", { class: "strip" });
    this.needle = h("i", { class: "head" });
    this.search = h("input", { type: "search", placeholder: t("index_search"), "aria-label": t("index_search"), maxlength: 1000, oninput: () => this.typed() });
    this.list = h("div", { class: "chapters" });
    this.found = h("ol", { class: "hits", "aria-live": "polite" });
    this.questions = new Questions(this.base, id, ui, (seconds) => this.seek(seconds));
    this.screen = h("div", { class: "watch" }, this.player, this.strip);
    fill(element, h("div", { class: "index-view" }, this.head,
      this.screen, h("div", { class: "asked" }, this.questions.element),
      h("section", { class: "contents", "aria-label": t("index_contents") }, h("div", { class: "find" }, icon("search"), this.search), this.found, this.list)));
    this.poll();
  }

  close() {
    this.control.abort();
    this.questions.close();
    clearTimeout(this.timer);
  }

  takeFiles(files) {
    this.drop(files[0], this.ui);
  }

  async poll() {
    clearTimeout(this.timer);
    try {
      const index = await get(this.base);
      if (this.control.signal.aborted) return;
      this.take(index);
    } catch (error) {
      if (this.control.signal.aborted) return;
      if (error.status === 404) return this.gone(error);
      this.line?.replaceChildren(t("server_gone"));
    }
    if (this.index === null || this.index.state === "working") this.timer = setTimeout(() => this.poll(), POLL_MS);
  }

  gone(error) {
    fill(this.head, h("p", { role: "alert", class: "notice" }, explain(error)), h("button", { type: "button", class: "secondary", onclick: () => this.ui.goTo("videos") }, t("all_videos")));
    for (const part of [this.screen, this.questions.element.parentElement, this.list.parentElement]) part.hidden = true;
  }

  take(index) {
    if (this.index === null) {
      this.player.src = `v1/media/${index.media}`;
      this.player.setAttribute("aria-label", index.name);
    }
    const before = this.index?.progress.described;
    this.index = index;
    if (before !== index.progress.described) this.pace = [...this.pace, [Date.now(), index.progress.described]].slice(-20);
    this.drawHead();
    this.drawStrip();
    this.drawList();
    this.questions.ready(index.progress.described > 0);
    if (this.hits && before !== index.progress.described) this.look();
  }

  async act(what) {
    this.error = "";
    try {
      await (what === "delete" ? remove(this.base) : post(`${this.base}/${what}`));
      if (what === "delete") return this.ui.goTo("videos");
      this.pace = [];
    } catch (error) {
      this.error = explain(error);
    }
    this.poll();
  }

  get length() {
    return this.index.segments.at(-1)?.end ?? (this.player.duration || 1);
  }

  seek(seconds) {
    this.player.currentTime = seconds;
    this.player.play().catch(() => {}); // a browser may want a click on the player itself
    if (matchMedia("(max-width: 1100px)").matches) this.screen.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  follow() {
    if (!this.index) return;
    const now = this.player.currentTime;
    this.needle.style.left = `${(100 * now) / this.length}%`;
    for (const [start, row] of this.rows) row.element.classList.toggle("now", now >= start - 0.05 && now < row.end - 0.05);
  }

  unplayable() {
    this.player.after(h("p", { class: "warning" }, t("index_unplayable")));
    this.player.hidden = true;
  }

  // Drawing.

  drawHead() {
    const { state, name, progress, error, settings } = this.index;
    const button = (sign, words, onclick, look = "secondary") => h("button", { type: "button", class: look, onclick }, sign && icon(sign), words);
    const working = state === "working";
    const had = this.head.querySelector(".erase .danger"); // the question whether it is meant stays
    const erase = had?.parentElement ?? h("span", { class: "erase" });
    const ask = () => {
      fill(erase, h("span", {}, t("delete_sure")), button("", t("delete"), () => this.act("delete"), "danger"), button("", t("keep"), draw, "plain"));
      erase.querySelector(".danger").focus();
    };
    const draw = () => fill(erase, working ? button("close", t("index_cancel"), ask, "plain") : button("trash", t("delete"), ask, "plain"));
    if (!had) draw();
    const focus = this.head.contains(document.activeElement) && !erase.contains(document.activeElement) ? document.activeElement.className : null;
    this.line = h("p", { class: "status-line", role: "status" }, h("span", { class: "state", "data-state": state }, this.words()));
    fill(this.head,
      h("div", { class: "row" }, h("h3", { title: name }, name || t("kind_video")), settings.focus && h("small", { class: "focus" }, settings.focus), h("span", { class: "gap" }),
        working && button("pause", t("index_pause"), () => this.act("pause"), "secondary act"),
        ["paused", "failed"].includes(state) && button("play", t("index_resume"), () => this.act("resume"), "primary act"), erase),
      h("div", { class: "row" }, this.line, h("span", { class: "gap" }), progress.described > 0 && h("div", { class: "exports" }, h("span", {}, t("export")), Object.entries(EXPORTS).map(([format, words]) =>
        h("a", { class: "chip", href: `${this.base}/export?format=${format}`, download: "" }, icon("down"), words)))),
      working && h("progress", { "aria-label": t("index_working"), max: 1, value: progress.segments ? progress.described / progress.segments : 0 }),
      state === "failed" && h("p", { role: "alert", class: "notice" }, said(error)),
      this.error && h("p", { role: "alert", class: "notice" }, this.error));
    if (focus) this.head.querySelector(`.${focus.split(" ").join(".")}`)?.focus();
  }

  words() {
    const { state, progress, chapters } = this.index, { described, segments, searched } = progress;
    if (state !== "working") return segments ? `${t(`index_${state}`)} · ${t("index_segments", { done: described, all: segments })}` : t(`index_${state}`);
    if (searched !== null) return t("index_searching", { time: clock(searched).split(".")[0] });
    if (!segments) return t("index_waiting");
    if (described === segments && !chapters) return t("index_chapters");
    const [first, last] = [this.pace[0], this.pace.at(-1)];
    const each = last[1] > first[1] ? (last[0] - first[0]) / (last[1] - first[1]) : null;
    const line = t("index_describing", { done: described, all: segments });
    return each === null ? line : `${line} · ${t("index_left", { time: clock((each * (segments - described)) / 1000).split(".")[0] })}`;
  }

  drawStrip() {
    const { segments, chapters } = this.index;
    const place = ({ start, end }) => ({ left: `${(100 * start) / this.length}%`, width: `max(4px, ${(100 * (end - start)) / this.length}%)` });
    const known = JSON.stringify([segments.map((segment) => segment.summary !== null), chapters?.length]);
    if (known === this.stripKnown) return;
    this.stripKnown = known;
    const shown = chapters?.length ? chapters : segments;
    const title = (each) => `${clock(each.start)} ${each.title || each.summary || ""}`.trim();
    fill(this.strip, shown.map((each, number) => h("button", { type: "button", tabindex: -1, class: each.summary === null ? "bare" : `c${number % COLOURS}`, style: place(each), title: title(each), "aria-label": title(each), onclick: () => this.seek(each.start) })), this.needle);
  }

  drawList() {
    const { segments, chapters } = this.index;
    if (!segments.length) return fill(this.list, h("p", { class: "hint" }, t("index_nothing_yet")));
    const parts = chapters?.length ? chapters : [null];
    const known = JSON.stringify(chapters);
    for (const segment of segments) this.rowOf(segment);
    if (known === this.listKnown && this.list.querySelector("li")) return;
    this.listKnown = known;
    fill(this.list, parts.map((chapter, place) => {
      const own = chapter === null ? segments : segments.filter(({ start }) => start >= chapter.start - 0.01 && start < chapter.end - 0.01);
      return h("section", { class: "chapter" },
        chapter && h("header", {}, h("i", { class: `c${place % COLOURS}` }), this.time(chapter.start), h("b", {}, chapter.title || t("index_chapter", { number: place + 1 })), chapter.text && h("p", {}, chapter.text)),
        h("ol", {}, own.map((segment) => this.rows.get(segment.start).element)));
    }));
  }

  time(start, end = null) {
    const short = (seconds) => clock(seconds).split(".")[0];
    return h("button", { type: "button", class: "time", "aria-label": t("index_go_to", { time: short(start) }), onclick: () => this.seek(start) }, end === null ? short(start) : `${short(start)} – ${short(end)}`);
  }

  // The button beside it says the same in words.
  frame(segment, start) {
    return h("button", { type: "button", class: "frame", tabindex: -1, "aria-hidden": "true", onclick: () => this.seek(start) }, h("img", { src: `page/indexes/${this.id}/segments/${segment}/picture`, alt: "", loading: "lazy" }));
  }

  // Each row is made once, and again when its segment has been described.
  rowOf(segment) {
    const row = this.rows.get(segment.start);
    if (row && row.described === (segment.summary !== null)) return;
    const element = row?.element ?? h("li", { "data-segment": segment.number });
    this.rows.set(segment.start, { element, end: segment.end, described: segment.summary !== null });
    element.classList.toggle("bare", segment.summary === null);
    fill(element,
      element.querySelector(".frame") ?? this.frame(segment.number, segment.start),
      h("div", { class: "lines" }, this.time(segment.start, segment.end),
        segment.summary === null ? h("p", { class: "hint" }, t("index_not_yet")) : h("p", {}, segment.summary || t("index_silent")),
        segment.events.length > 0 && h("ul", { class: "moments" }, segment.events.map((event) => h("li", {}, this.time(event.start), h("span", {}, event.title || event.text))))));
  }

  // Searching.

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.look(), PAUSE_MS);
  }

  async look() {
    const query = this.search.value.trim();
    this.hits = query || null;
    this.list.hidden = Boolean(query);
    if (!query) return fill(this.found);
    const found = await get(`${this.base}/search?${new URLSearchParams({ query, limit: 30 })}`).catch((error) => ({ error }));
    if (this.search.value.trim() !== query) return;
    if (found.error) return fill(this.found, h("li", { class: "error" }, explain(found.error)));
    fill(this.found, found.data.length ? found.data.map((hit) => h("li", {}, this.frame(hit.segment, hit.start), h("div", { class: "lines" }, this.time(hit.start, hit.end), h("p", {}, hit.text)))) : h("li", { class: "hint" }, t("nothing_found")));
  }
}
