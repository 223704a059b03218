// Code, to be read and edited, with the page that it makes beside the picture that it was made from.
//
// The page runs in a frame without an origin: scripts, and nothing else; its own policy and this page's keep it from any
// network, and it cannot reach the page around it.

import { call } from "../static/api.js";
import { fill, h } from "../static/dom.js";
import { explain, number, t } from "../static/texts.js";
import { sourceOf } from "../static/sources.js";

const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'";
const WAIT = 400; // milliseconds after the last key

export const sealed = (source) =>
  `<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="${POLICY}"><meta name="referrer" content="no-referrer"><meta http-equiv="x-dns-prefetch-control" content="off">${source}`;

export const frameOf = (source) =>
  h("iframe", { sandbox: "allow-scripts", srcdoc: sealed(source), title: t("preview"), referrerpolicy: "no-referrer", allow: "" });

export default {
  applies: ({ result }) => result.code.length > 0,
  // Code in a conversation is there to be read already.
  opens: ({ result, question }) => (question.request?.task ?? "chat") !== "chat" || result.code[0].language === "html",

  render(element, view) {
    let current = view, edited = false, timer;
    const block = () => current.result.code[0];
    const editor = h("textarea", { class: "editor", spellcheck: "false", "aria-label": t("code"), autocapitalize: "off", wrap: "off" });
    const colours = h("pre", { class: "code", "aria-hidden": "true" }, h("code", {}));
    const sides = h("div", { class: "sides" }), figure = h("p", { class: "hint", role: "status" });
    const picture = () => current.pictures.find((each) => each.kind !== "video");
    const colour = async () => {
      const source = editor.value;
      const { html } = await (await call("POST", "page/highlight", { source, language: block().language })).json();
      if (source === editor.value) colours.firstChild.innerHTML = html + "\n";
    };
    const show = () => {
      const shown = picture();
      fill(sides, shown && h("figure", {}, h("figcaption", {}, t("original")), h("img", { src: sourceOf(shown), alt: shown.name })),
        block().language === "html" && h("figure", {}, h("figcaption", {}, t("preview")), scaled(frameOf(editor.value), shown)));
      figure.textContent = "";
    };
    editor.addEventListener("input", () => {
      edited = true;
      colours.firstChild.textContent = editor.value + "\n";
      clearTimeout(timer);
      timer = setTimeout(() => { show(); colour(); }, WAIT);
    });
    editor.addEventListener("scroll", () => ([colours.scrollTop, colours.scrollLeft] = [editor.scrollTop, editor.scrollLeft]));
    const compare = h("button", { type: "button", class: "secondary", onclick: async () => {
      compare.disabled = true;
      figure.textContent = t("comparing");
      try {
        const shown = current.pictures.indexOf(picture());
        const { similarity } = await (await call("POST", `page/answers/${current.id}/compare`, { html: editor.value, picture: shown })).json();
        figure.textContent = t("similarity", { percent: number(100 * similarity, 1) });
      } catch (error) {
        figure.textContent = explain(error);
      }
      compare.disabled = false;
    } }, t("compare"));
    const back = h("button", { type: "button", class: "plain", onclick: () => { edited = false; draw(current); } }, t("undo_edits"));
    const others = () => current.result.code.slice(1).map((each, place) => h("pre", { class: "code", "data-language": each.language }, codeOf(current.colours[place + 1])));
    const rest = h("div", {});
    const draw = (later) => {
      current = later;
      if (edited) return;
      editor.value = block().source;
      colours.firstChild.innerHTML = (later.colours[0] ?? "") + "\n";
      show();
      fill(rest, others());
    };
    element.append(sides, h("div", { class: "panel-bar" }, h("b", {}, block().language), h("span", { class: "gap" }), back,
      block().language === "html" && picture() ? compare : null), figure, h("div", { class: "editing-code" }, colours, editor), rest);
    draw(view);
    return draw;
  },
};

function codeOf(html) {
  const code = h("code", {});
  code.innerHTML = html; // made by the server from text
  return code;
}

// A page is laid out at the width of its picture and shown smaller.
function scaled(frame, picture) {
  const [width, height] = picture ? [Math.max(picture.width, 320), Math.max(picture.height, 200)] : [1024, 700];
  const holder = h("div", { class: "scaled", style: { "--width": width, "--height": height } }, frame);
  new ResizeObserver(() => holder.style.setProperty("--scale", holder.clientWidth / width)).observe(holder);
  return holder;
}
