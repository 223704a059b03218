// Pages of a document that were looked at, with the places that an answer cites; a click on a source opens its page there.

import { fill, h } from "../static/dom.js";
import { t } from "../static/texts.js";
import { sourceOf } from "../static/sources.js";

const share = (value, whole) => `${(100 * value) / whole}%`;

export default {
  applies: ({ result, pictures }) => result.pages.length + result.seen.length > 0 && pictures.length > 0,
  opens: ({ result }) => result.pages.length > 0,

  render(element, view) {
    let current = view, open = null; // {picture, place}: the page that is shown, and the source that was chosen
    const seen = h("div", { class: "seen" }), list = h("ol", { class: "sources" }), page = h("div", { class: "page" });
    const several = () => new Set(current.result.seen.map((each) => each.file)).size > 1;
    const numberOf = (each) => (several() ? `${current.pictures[each.picture]?.name} ${each.page}` : `${each.page}`);
    const show = (picture, place = null) => {
      open = { picture, place };
      for (const [number, row] of [...list.children].entries()) row.firstChild.setAttribute("aria-current", String(number === place));
      for (const button of seen.querySelectorAll("button")) button.setAttribute("aria-current", String(Number(button.value) === picture));
      const source = current.pictures[picture];
      if (!source) return fill(page);
      const title = t("page_number", { number: source.page ?? picture + 1 });
      fill(page, h("p", { class: "hint" }, `${source.name} · ${title}`),
        h("div", { class: "canvas", style: { "--zoom": 1, "--ratio": source.width / source.height } },
          h("img", { src: sourceOf(source, 1600), alt: title, width: source.width, height: source.height }),
          current.result.pages.flatMap((cited, number) => (cited.picture === picture ? marks(cited, number, source) : []))));
    };
    const marks = (cited, number, source) => (cited.lines.length ? cited.lines : [cited.box].filter(Boolean)).map(({ pixels: [x1, y1, x2, y2] }) =>
      h("button", { type: "button", class: `mark box cited${number === open.place ? " lit" : ""} ${cited.exact ? "exact" : "guessed"}`,
        title: cited.exact ? cited.quote : t("place_by_model"), "aria-label": cited.quote || t("source"), onclick: () => show(cited.picture, number),
        style: { left: share(x1, source.width), top: share(y1, source.height), width: share(x2 - x1, source.width), height: share(y2 - y1, source.height), "--mark": "#d97706" } }));
    const draw = (later) => {
      current = later;
      const { pages, seen: looked } = current.result;
      fill(seen, looked.length > 0 && [t("pages_seen"), ...looked.map((each) => h("button", { type: "button", class: "chip", value: each.picture, onclick: () => show(each.picture) }, numberOf(each)))]);
      fill(list, pages.map((cited, place) => h("li", {}, h("button", { type: "button", onclick: () => show(cited.picture, place) },
        h("b", {}, t("page_number", { number: numberOf(cited) })), cited.quote && h("q", {}, cited.quote)))));
      if (!open && pages.length) show(pages[0].picture, 0);
      else show(open?.picture ?? looked[0].picture, open?.place ?? null);
    };
    element.append(seen, list, page);
    draw(view);
    return draw;
  },
};
