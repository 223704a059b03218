// The turns of the open conversation: questions with their files, answers as they grow, and what can be done with each.

import { bus, branchTo, isRunning, open, questionOf, select } from "./conversation.js";
import { copyText, fill, h, icon, iconButton, joules, seconds } from "./dom.js";
import { addCopyButtons, setFormulas, update } from "./prose.js";
import { currentLanguage, explain, number, t } from "./texts.js";

let element, announcer, ui;
const shown = new Map(); // elements of answers, by id
const NEAR_END = 120; // pixels; who has scrolled up further is reading

export function setUpThread(root, live, given) {
  [element, announcer, ui] = [root, live, given];
  let wasAtEnd = true; // also when the composer grows and leaves less room
  scroller().addEventListener("scroll", () => (wasAtEnd = isAtEnd()));
  new ResizeObserver(() => wasAtEnd && toEnd()).observe(scroller());
  bus.addEventListener("changed", draw);
  bus.addEventListener("turn", ({ detail }) => growTurn(detail));
  bus.addEventListener("ended", () => announce(open.turns.at(-1)));
  bus.addEventListener("selected", markSelected);
}

export function draw() {
  shown.clear();
  const atEnd = isAtEnd();
  const turns = shownTurns().map((turn) => (turn.role === "user" ? questionElement(turn) : answerElement(turn)));
  if (open.pending) turns.push(...pendingElements(open.pending));
  fill(element, turns.length ? turns : ui.welcome());
  element.classList.toggle("empty", !turns.length);
  markSelected();
  if (atEnd || open.pending) toEnd();
}

// A new branch hides the old one at once.
function shownTurns() {
  const under = open.pending?.under;
  return under === undefined ? open.turns : open.turns.slice(0, open.turns.findIndex((turn) => turn.id === under) + 1);
}

const scroller = () => element.closest(".scroll");
const isAtEnd = () => {
  const box = scroller();
  return box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
};
const toEnd = () => requestAnimationFrame(() => {
  const last = element.lastElementChild;
  // The results may stand below on a narrow screen: the end is that of the turns.
  if (last) scroller().scrollTop += last.getBoundingClientRect().bottom - scroller().getBoundingClientRect().bottom + 12;
});

function questionElement(turn) {
  const asked = ui.describeQuestion(turn);
  const tools = h("div", { class: "tools" },
    branches(turn),
    iconButton("copy", t("copy"), (event) => copied(event, asked.text)),
    iconButton("pencil", t("edit_question"), () => ui.editQuestion(turn), { disabled: isRunning(), "data-idle": true }),
  );
  return h("article", { class: "turn question", "data-id": turn.id, "aria-label": t("you") },
    thumbnails(turn.files), bubble(asked), tools);
}

const bubble = (asked) =>
  h("div", { class: "bubble" },
    asked.title && h("span", { class: "task-chip" }, asked.title),
    asked.text && h("p", {}, asked.text),
    asked.details?.length ? h("p", { class: "details" }, asked.details.join(" · ")) : null);

export function thumbnails(files) {
  if (!files?.length) return null;
  return h("div", { class: "thumbnails" }, files.map((file) =>
    h("a", { href: `v1/media/${file.media}`, target: "_blank", rel: "noopener", class: "thumbnail", title: file.name }, preview(file))));
}

export function preview(file) {
  const name = file.name || t(`kind_${file.type}`);
  if (file.type === "pdf") return h("img", { src: `page/media/${file.media}/pages/1?side=320`, alt: name, loading: "lazy" });
  const source = `v1/media/${file.media}`;
  if (file.type === "video" && file.media_type !== "image/gif")
    return h("video", { src: `${source}#t=0.1`, preload: "metadata", muted: true, playsinline: true, "aria-label": name });
  return h("img", { src: source, alt: name, loading: "lazy" });
}

function pendingElements(pending) {
  const question = h("article", { class: "turn question", "aria-label": t("you") },
    thumbnails(pending.files), bubble(pending));
  return [...(pending.again ? [] : [question]), h("article", { class: "turn answer running" }, waiting())];
}

const waiting = (pages) => h("div", { class: "status running" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
  pages && pages[0] < pages[1] ? t("state_reading_pages", { page: pages[0] + 1, count: pages[1] }) : t("state_reading"));

function answerElement(turn) {
  const thinking = h("details", { class: "thinking" }, h("summary", {}, t("thinking")), h("div", { class: "prose" }));
  const prose = h("div", { class: "prose said" });
  const article = h("article", { class: "turn answer", "data-id": turn.id, "aria-label": t("answer"), onclick: (event) => {
    if (!event.target.closest("button, a, summary") && !getSelection().toString()) select(turn.id);
  } }, thinking, prose, h("div", { class: "status" }), h("div", { class: "tools" }));
  shown.set(turn.id, article);
  growAnswer(turn, article);
  return article;
}

function growTurn(turn) {
  const article = shown.get(turn.id);
  if (!article) return;
  const atEnd = isAtEnd();
  growAnswer(turn, article);
  if (atEnd) toEnd();
}

function growAnswer(turn, article) {
  const [thinking, prose, status, tools] = article.children;
  const running = turn.state === "running";
  const hidden = running && !ui.interface.streaming;
  article.classList.toggle("running", running);
  article.setAttribute("aria-busy", String(running));
  thinking.hidden = hidden || !turn.thinking;
  if (turn.thinking) {
    thinking.firstChild.textContent = running && !turn.text ? t("thinking_now") : t("thinking");
    if (!thinking.dataset.seen) [thinking.open, thinking.dataset.seen] = [running, "1"];
    if (running && turn.text && !thinking.dataset.folded) [thinking.open, thinking.dataset.folded] = [false, "1"];
    update(thinking.lastChild, hidden ? "" : turn.thinking_html);
  }
  update(prose, hidden ? "" : turn.html);
  setFormulas(prose);
  addCopyButtons(prose);
  fill(status, running && !turn.text && !turn.thinking ? [...waiting(turn.pages_read).childNodes] : statusLine(turn));
  status.className = `status ${turn.state}`;
  if (!running) fill(tools, answerTools(turn));
}

function answerTools(turn) {
  return [
    branches(turn),
    iconButton("copy", t("copy"), (event) => copied(event, turn.text)),
    iconButton("again", t("regenerate"), () => ui.regenerate(questionOf(turn)), { disabled: isRunning(), "data-idle": true }),
    h("button", { type: "button", class: "text-button to-results", onclick: () => ui.showResults(turn.id) }, icon("eye"), t("results")),
  ];
}

function branches(turn) {
  if (turn.siblings.length < 2) return null;
  const place = turn.siblings.indexOf(turn.id);
  const move = (step) => () => branchTo(turn.siblings[place + step]);
  return h("span", { class: "branches" },
    iconButton("left", t("branch_before"), move(-1), { disabled: place === 0 || isRunning(), "data-first": place === 0 }),
    h("span", { class: "count" }, `${place + 1} / ${turn.siblings.length}`),
    iconButton("right", t("branch_after"), move(1), { disabled: place === turn.siblings.length - 1 || isRunning() }));
}

function statusLine(turn) {
  const usage = turn.usage ?? {};
  const parts = [h("span", { class: "state" }, t(stateText(turn)))];
  const figure = (value, name) => parts.push(h("span", {}, h("b", {}, value), ` ${name}`));
  if (ui.interface.token_counts && usage.completion_tokens) {
    const writing = usage.total_seconds - usage.first_token_seconds;
    if (usage.completion_tokens > 1 && writing > 0) figure(number((usage.completion_tokens - 1) / writing, 0), t("stat_speed"));
    figure(seconds(usage.first_token_seconds), t("stat_first"));
    figure(number(usage.completion_tokens), t("stat_tokens"));
    if (usage.prompt_tokens) figure(number(usage.prompt_tokens), t("stat_prompt"));
    if (usage.active_experts > 1) figure(String(usage.active_experts), t("stat_experts"));
    if (usage.energy_joules != null) figure(joules(usage.energy_joules), t("stat_energy"));
  }
  const lines = [h("div", { class: "figures" }, parts)];
  if (turn.error) lines.push(h("p", { role: "alert", class: "notice" }, explain({ message: turn.error, code: turn.error_code })));
  return lines;
}

function stateText(turn) {
  if (turn.state !== "done") return `state_${turn.state}`;
  return ["length", "loop"].includes(turn.finish_reason) ? `state_${turn.finish_reason}` : "state_done";
}

export async function copied(event, text) {
  const button = event.currentTarget;
  await copyText(text);
  fill(button, icon("check"));
  announcer.textContent = t("copied");
  setTimeout(() => fill(button, icon("copy")), 1200);
}

// A screen reader is told of the whole answer once, and not of each token.
function announce(turn) {
  if (turn?.role !== "assistant") return;
  announcer.lang = currentLanguage();
  announcer.textContent = `${t(stateText(turn))}. ${turn.text.slice(0, 2000)}`;
  for (const button of element.querySelectorAll("[data-idle]")) button.disabled = false;
  draw();
}

function markSelected() {
  for (const [id, article] of shown) article.classList.toggle("selected", id === open.selected);
}
