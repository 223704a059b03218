// The conversations: new, search, rename, delete. Newest first, more as one scrolls.

import { bus, erase, fresh, open, rename, show } from "./conversation.js";
import { get } from "./api.js";
import { fill, h, iconButton } from "./dom.js";
import { currentLanguage, t } from "./texts.js";

const PAGE = 40;
let list, search, ui;
let found = { data: [], has_more: false, last_id: null };
let asked = 0;

export function setUpSidebar(root, given) {
  ui = given;
  search = h("input", { type: "search", class: "search", maxlength: 200, oninput: () => load() });
  list = h("ul", { class: "conversations" });
  list.addEventListener("scroll", () => {
    if (found.has_more && list.scrollTop + list.clientHeight > list.scrollHeight - 60) load(found.last_id);
  });
  root.append(h("div", { class: "find", hidden: !ui.interface.autosave }, search), list);
  bus.addEventListener("changed", () => load());
  bus.addEventListener("ended", () => load());
}

export async function load(after = null) {
  if (!ui.interface.autosave) return drawList();
  const mine = ++asked;
  const query = new URLSearchParams({ limit: PAGE, query: search.value.trim(), ...(after && { after }) });
  const page = await get(`v1/conversations?${query}`).catch(() => null);
  if (mine !== asked || page === null) return;
  found = { ...page, data: after ? [...found.data, ...page.data] : page.data };
  drawList();
}

export function drawList() {
  if (!ui.interface.autosave) return fill(list, h("li", { class: "nothing" }, t("not_kept")));
  search.placeholder = t("search");
  search.setAttribute("aria-label", t("search"));
  const kept = found.data.filter((each) => each.active !== null); // one without a question is nothing yet
  fill(list, kept.length ? kept.map(entry) : h("li", { class: "nothing" }, search.value ? t("nothing_found") : t("no_conversations")));
}

function entry(each) {
  const title = each.title || t("untitled");
  const item = h("li", { class: each.id === open.id ? "current" : "", "data-id": each.id },
    h("button", { type: "button", class: "title", title, "aria-current": each.id === open.id ? "page" : null, onclick: () => {
      ui.leavePlace();
      show(each.id);
      ui.closeDrawer();
    } }, h("span", {}, title), h("time", {}, when(each.updated))),
    iconButton("pencil", t("rename"), () => startRenaming(item, each)),
    iconButton("trash", t("delete"), () => confirmErasing(item, each)));
  return item;
}

function when(time) {
  const date = new Date(time * 1000), today = new Date().toDateString() === date.toDateString();
  const form = today ? { hour: "2-digit", minute: "2-digit" } : { month: "short", day: "numeric" };
  return date.toLocaleString(currentLanguage(), form);
}

function startRenaming(item, each) {
  const input = h("input", { value: each.title, maxlength: 200, "aria-label": t("rename") });
  let over = false;
  const end = async (keep) => {
    if (over) return;
    over = true;
    if (keep && input.value.trim() && input.value !== each.title) await rename(each.id, input.value).catch(ui.fail);
    load();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) end(true);
    if (event.key === "Escape") end(false);
    event.stopPropagation();
  });
  input.addEventListener("blur", () => end(true));
  fill(item, input);
  input.focus();
  input.select();
}

function confirmErasing(item, each) {
  const sure = h("button", { type: "button", class: "danger", onclick: async () => {
    await erase(each.id).catch(ui.fail);
    load();
  } }, t("delete"));
  fill(item, h("span", { class: "question-line" }, t("delete_sure")), sure,
    h("button", { type: "button", class: "plain", onclick: drawList }, t("keep")));
  sure.focus();
}

export const startFresh = () => {
  ui.leavePlace();
  fresh();
  ui.closeDrawer();
  ui.focusQuestion();
};
