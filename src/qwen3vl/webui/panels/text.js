// The answer as it is, unformatted, to read or to copy.

import { h, iconButton } from "../static/dom.js";
import { t } from "../static/texts.js";
import { copied } from "../static/thread.js";

export default {
  applies: () => true,
  opens: () => false,

  render(element, view) {
    const text = h("pre", { class: "plain", tabindex: 0 }, view.result.text);
    element.append(h("div", { class: "panel-bar" }, h("span", { class: "gap" }), iconButton("copy", t("copy"), (event) => copied(event, text.textContent))), text);
    return (later) => (text.textContent = later.result.text);
  },
};
