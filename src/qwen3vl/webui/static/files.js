// The files beside the question: each a card with its size and what it will cost, changed at once by resolution and rate.

import { post, upload } from "./api.js";
import { bytes, clock, fill, h, icon, iconButton } from "./dom.js";
import { explain, number, said, t } from "./texts.js";
import { bring } from "../panels/videos.js";
import { preview } from "./thread.js";

const STEPS = 100; // of the slider, which is logarithmic
const LONG = { share: 0.5, seconds: 300 }; // of the context, and of a video: from there on it is better indexed
let made = 0;

export class Files {
  constructor(ui, changed) {
    Object.assign(this, { ui, changed, files: [], step: STEPS, fps: null, costing: false, stale: false, model: {} });
  }

  draw() {
    this.cards = h("ul", { class: "cards", "aria-label": t("files") });
    this.knobs = h("div", { class: "knobs" });
    this.element = h("section", { class: "files", hidden: true }, this.cards, this.knobs);
    this.drawKnobs();
    this.drawCards();
    return this.element;
  }

  add(list) {
    for (const file of list) {
      const entry = { key: ++made, name: file.name, size: file.size, state: "uploading", progress: 0 };
      this.files.push(entry);
      if (file.size > this.ui.maxFile) {
        Object.assign(entry, { state: "failed", error: t("too_large", { size: bytes(this.ui.maxFile) }) });
        continue;
      }
      upload(file, (progress) => {
        entry.progress = progress;
        this.drawCards();
      }).then((found) => Object.assign(entry, found, { state: "ready" }), (error) => Object.assign(entry, { state: "failed", error: explain(error) }))
        .then(() => {
          this.drawCards();
          this.drawKnobs();
          this.recost();
        });
    }
    this.drawCards();
    this.changed();
  }

  // All files as they are to be sent; null while one of them is not there yet, or cannot be read.
  ready() {
    return this.files.every((file) => file.state === "ready") ? [...this.files] : null;
  }

  take() {
    const taken = this.files;
    this.put([]);
    return taken;
  }

  put(files) {
    this.files = files.map((file) => ({ state: "ready", ...file, key: ++made }));
    this.drawCards();
    this.drawKnobs();
    this.recost();
  }

  remove(key) {
    this.files = this.files.filter((file) => file.key !== key);
    this.drawCards();
    this.drawKnobs();
    this.changed();
  }

  modelChanged(model) {
    const other = this.model.name !== model.name || this.model.ready !== model.ready;
    this.model = model;
    if (other && this.element) {
      this.drawKnobs();
      this.recost();
    }
  }

  get pixels() {
    if (!this.model.pixels || this.step === STEPS) return undefined;
    const [low, high] = this.model.pixels;
    return Math.round(low * (high / low) ** (this.step / STEPS));
  }

  options() {
    const options = {};
    if (this.pixels) options.max_pixels = this.pixels;
    if (this.fps) options.fps = this.fps;
    return options;
  }

  async recost() {
    this.stale = true;
    if (this.costing) return;
    this.costing = true;
    while (this.stale) {
      this.stale = false;
      const ready = this.files.filter((file) => file.state === "ready");
      if (!ready.length) break;
      const body = { files: ready.map(({ type, media }) => ({ type, media })), max_pixels: this.pixels, fps: this.fps ?? undefined };
      const costs = await post("page/costs", body).catch(() => []);
      ready.forEach((file, place) => (file.cost = costs[place]));
      this.drawCards();
    }
    this.costing = false;
  }

  drawCards() {
    this.element.hidden = !this.files.length;
    const known = new Map([...this.cards.children].map((card) => [Number(card.dataset.key), card]));
    fill(this.cards, this.files.map((file) => {
      const card = known.get(file.key) ?? h("li", { class: "card", "data-key": file.key }, h("div", { class: "look" }), h("div", { class: "lines" }),
        iconButton("close", t("remove_file", { name: file.name }), () => this.remove(file.key)));
      const [look, lines] = card.children;
      if (file.state === "ready" && !look.firstChild) look.append(preview(file));
      fill(lines, h("b", { title: file.name }, file.name || t(`kind_${file.type}`)), this.facts(file));
      card.dataset.state = file.state;
      return card;
    }));
    this.drawTotal();
  }

  facts(file) {
    if (file.state === "uploading") return h("progress", { max: 1, value: file.progress, "aria-label": t("uploading") });
    if (file.state === "failed") return h("small", { class: "error", role: "alert" }, file.error);
    const size = [file.width && `${file.width} × ${file.height}`, file.duration && clock(file.duration), file.pages && t("pages", { count: file.pages }), bytes(file.size)];
    const lines = [h("small", {}, size.filter(Boolean).join(" · "))];
    const cost = file.cost;
    if (cost === null) lines.push(h("small", {}, t("cost_unknown")));
    else if (cost?.error) lines.push(h("small", { class: "error" }, said(cost.error)));
    else if (cost) {
      const seen = file.type === "video" ? t("seen_frames", { count: cost.pictures, width: cost.width, height: cost.height }) : t("seen_as", { width: cost.width, height: cost.height });
      lines.push(h("small", { class: "cost" }, h("b", {}, t("cost_tokens", { count: number(cost.tokens) })), " · ", t("cost_share", { share: number(100 * cost.share, 1) }), " · ", t("cost_memory", { size: bytes(cost.bytes) })),
        h("small", {}, seen));
    }
    if (file.type === "video" && (cost?.error || cost?.share > LONG.share || file.duration > LONG.seconds))
      lines.push(h("button", { type: "button", class: "text-button", onclick: () => bring(file, this.ui) }, icon("film"), t("index_instead")));
    return lines;
  }

  drawKnobs() {
    if (!this.files.length || !this.model.pixels) return fill(this.knobs);
    const words = h("output", {});
    const say = () => (words.textContent = this.pixels ? t("megapixels", { count: number(this.pixels / 1e6, 2) }) : t("resolution_full"));
    const slider = h("input", { type: "range", min: 0, max: STEPS, value: this.step, "aria-label": t("resolution"), oninput: () => {
      this.step = Number(slider.value);
      say();
      this.recost();
    } });
    say();
    const knobs = [h("label", { class: "knob" }, h("span", {}, t("resolution")), slider, words)];
    if (this.files.some((file) => file.type === "video")) {
      const rate = h("output", {});
      const sayRate = () => (rate.textContent = t("frames_a_second", { count: number(this.fps ?? this.model.fps, 1) }));
      const fps = h("input", { type: "range", min: 0.2, max: 10, step: 0.2, value: this.fps ?? this.model.fps, "aria-label": t("frame_rate"), oninput: () => {
        this.fps = Number(fps.value);
        sayRate();
        this.recost();
      } });
      sayRate();
      knobs.push(h("label", { class: "knob" }, h("span", {}, t("frame_rate")), fps, rate));
    }
    this.total = h("p", { class: "total", "aria-live": "polite" });
    fill(this.knobs, knobs, this.total);
    this.drawTotal();
  }

  drawTotal() {
    const costs = this.files.map((file) => file.cost).filter((cost) => cost?.tokens);
    if (!this.total) return;
    const sum = (key) => costs.reduce((before, cost) => before + cost[key], 0);
    const share = sum("share");
    this.total.hidden = costs.length < 2 && share <= 1;
    this.total.classList.toggle("error", share > 1);
    this.total.textContent = t(share > 1 ? "total_too_much" : "total", { count: number(sum("tokens")), share: number(100 * share, 1), size: bytes(sum("bytes")) });
  }
}
