// Pages of a document with the places that an answer cites; a click on a source opens its page there.

import { fill, h } from "../static/dom.js";
import { t } from "../static/texts.js";
import { sourceOf } from "../static/sources.js";

export default {
  applies: ({ result, pictures }) => result.pages.length > 0 && pictures.length > 0,

  render(element, view) {
    let current = view, open = null;
    const page = h("div", { class: "page" }), list = h("ol", { class: "sources" });
    const show = (place) => {
      open = place;
      const cited = current.result.pages[place], picture = current.pictures[cited.page - 1];
      for (const [number, row] of [...list.children].entries()) row.firstChild.setAttribute("aria-current", String(number === place));
      if (!picture) return fill(page);
      const boxes = current.result.pages.map((each, number) => [each, number]).filter(([each]) => each.page === cited.page && each.box);
      const share = (value, whole) => `${(100 * value) / whole}%`;
      fill(page, h("p", { class: "hint" }, `${picture.name} · ${t("page_number", { number: cited.page })}`),
        h("div", { class: "canvas", style: { "--zoom": 1, "--ratio": picture.width / picture.height } },
          h("img", { src: sourceOf(picture, 1600), alt: t("page_number", { number: cited.page }), width: picture.width, height: picture.height }),
          boxes.map(([each, number]) => {
            const [x1, y1, x2, y2] = each.box.pixels;
            return h("button", { type: "button", class: `mark box cited${number === place ? " lit" : ""}`, title: each.quote, "aria-label": each.quote || t("source"), onclick: () => show(number),
              style: { left: share(x1, picture.width), top: share(y1, picture.height), width: share(x2 - x1, picture.width), height: share(y2 - y1, picture.height), "--mark": "#d97706" } });
          })));
    };
    const draw = (later) => {
      current = later;
      fill(list, later.result.pages.map((cited, place) => h("li", {}, h("button", { type: "button", onclick: () => show(place) }, h("b", {}, t("page_number", { number: cited.page })), cited.quote && h("q", {}, cited.quote)))));
      show(open ?? 0);
    };
    element.append(list, page);
    draw(view);
    return draw;
  },
};
