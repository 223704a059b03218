// Tables, and named values of forms and charts.

import { fill, h } from "../static/dom.js";
import { t } from "../static/texts.js";

export default {
  applies: ({ result }) => result.tables.length > 0 || result.fields.length > 0,

  render(element, view) {
    const draw = ({ result }) => {
      const tables = result.tables.map(({ rows }) => h("table", {}, h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));
      if (result.fields.length)
        tables.push(h("table", { class: "fields" }, h("thead", {}, h("tr", {}, h("th", {}, t("field_name")), h("th", {}, t("field_value")))),
          h("tbody", {}, result.fields.map(({ name, value }) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value))))));
      fill(element, tables.map((table) => h("div", { class: "wide", tabindex: 0 }, table)));
    };
    draw(view);
    return draw;
  },
};
