// The whole result as JSON, as the API gives it.

import { h, iconButton } from "../static/dom.js";
import { t } from "../static/texts.js";
import { copied } from "../static/thread.js";

export default {
  applies: () => true,
  opens: () => false,

  render(element, view) {
    const filled = (result) => JSON.stringify(Object.fromEntries(Object.entries(result).filter(([, value]) => value !== null && value !== "" && value.length !== 0)), null, 2);
    const text = h("pre", { class: "plain", tabindex: 0 }, filled(view.result));
    element.append(h("div", { class: "panel-bar" }, h("span", { class: "gap" }), iconButton("copy", t("copy"), (event) => copied(event, text.textContent))), text);
    return (later) => (text.textContent = filled(later.result));
  },
};
