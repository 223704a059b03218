// The pictures with what the answer locates drawn on them, and the same as a list: hovering one shows the other, a click
// copies the coordinates.

import { copyText, fill, h, iconButton } from "../static/dom.js";
import { number, said, t } from "../static/texts.js";
import { sourceOf } from "../static/sources.js";

const COLOURS = ["#e11d48", "#2563eb", "#16a34a", "#d97706", "#9333ea", "#0891b2", "#db2777", "#4d7c0f"];
const EDGES = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((a) => [1, 2, 4].map((bit) => [a, a ^ bit]).filter(([from, to]) => from < to));
const ZOOMS = [1, 1.5, 2, 3, 4, 6];

export default {
  applies: ({ result, pictures }) => pictures.some(isShown) && (marksOf(result).length > 0 || result.actions.length > 0 || result.data?.count !== undefined),

  render(element, view) {
    const stage = h("div", { class: "stage" }), list = h("ol", { class: "marks" });
    const hint = h("p", { class: "hint", role: "status" });
    let zoom = 0, current = view, picture = firstMarked(view);
    const draw = () => {
      const marks = coloured(marksOf(current.result));
      fill(stage, stageOf(current, picture, marks, ZOOMS[zoom], light, copy));
      fill(list, listOf(current, marks, light, copy, (number) => { picture = number; draw(); }));
      hint.textContent = t("marks_hint");
    };
    const light = (number, on) => {
      for (const part of element.querySelectorAll(`[data-mark="${number}"]`)) part.classList.toggle("lit", on);
    };
    const copy = async (mark) => {
      await copyText(coordinates(mark));
      hint.textContent = t("copied_this", { text: coordinates(mark) });
    };
    const turn = (step) => () => {
      zoom = Math.min(ZOOMS.length - 1, Math.max(0, zoom + step));
      draw();
    };
    element.append(
      h("div", { class: "panel-bar" }, pictureChooser(view, picture, (number) => { picture = number; draw(); }),
        h("span", { class: "gap" }), iconButton("zoomOut", t("zoom_out"), turn(-1)), iconButton("zoomIn", t("zoom_in"), turn(1))),
      stage, hint, list);
    draw();
    return (later) => {
      current = later;
      draw();
    };
  },
};

const isShown = (picture) => picture.kind !== "video" || picture.media_type === "image/gif";

// Marks, and where actions aim, in one numbering.
function marksOf(result) {
  const aims = result.actions.flatMap((action) => [action.target, action.end].filter(Boolean).map((mark) => ({ ...mark, label: mark.label || action.text || t(`action_${action.action}`) })));
  return [...result.marks, ...aims];
}

const firstMarked = (view) => marksOf(view.result)[0]?.picture ?? view.pictures.findIndex(isShown);

function coloured(marks) {
  const labels = [...new Set(marks.map((mark) => mark.label))];
  const byLabel = labels.length > 1 && labels.length < marks.length;
  return marks.map((mark, number) => ({ ...mark, number, colour: COLOURS[(byLabel ? labels.indexOf(mark.label) : number) % COLOURS.length] }));
}

export function coordinates(mark) {
  const round = (values) => values.map((value) => Math.round(value)).join(", ");
  return mark.kind === "box_3d" ? [...mark.center, ...mark.size, ...mark.angles].map((value) => number(value, 2)).join(", ") : `[${round(mark.pixels)}]`;
}

function stageOf(view, place, marks, zoom, light, copy) {
  const picture = view.pictures[place];
  if (!picture) return [];
  const own = marks.filter((mark) => mark.picture === place);
  return h("div", { class: "canvas", style: { "--zoom": zoom, "--ratio": picture.width / picture.height } },
    h("img", { src: sourceOf(picture), alt: picture.name, width: picture.width, height: picture.height }),
    own.some((mark) => mark.kind === "box_3d") ? cages(picture, own) : null,
    own.filter((mark) => mark.kind !== "box_3d").map((mark) => flatMark(picture, mark, light, copy)));
}

function flatMark(picture, mark, light, copy) {
  const [x1, y1, x2 = x1, y2 = y1] = mark.pixels;
  const share = (value, whole) => `${(100 * value) / whole}%`;
  const style = { left: share(x1, picture.width), top: share(y1, picture.height), "--mark": mark.colour };
  if (mark.kind === "box") Object.assign(style, { width: share(x2 - x1, picture.width), height: share(y2 - y1, picture.height) });
  const low = y1 < 0.09 * picture.height, far = x1 > 0.7 * picture.width;
  return h("button", { type: "button", class: `mark ${mark.kind}${low ? " low" : ""}${far ? " far" : ""}`, style, "data-mark": mark.number, tabindex: -1,
    title: `${mark.label} ${coordinates(mark)}`.trim(), "aria-label": `${mark.label} ${coordinates(mark)}`.trim(),
    onmouseenter: () => light(mark.number, true), onmouseleave: () => light(mark.number, false), onclick: () => copy(mark) },
    mark.label && h("span", {}, mark.label));
}

// Boxes in space, by their edges.
function cages(picture, marks) {
  return h("svg", { class: "cages", viewBox: `0 0 ${picture.width} ${picture.height}` }, marks.filter((mark) => mark.kind === "box_3d").map((mark) =>
    h("g", { "data-mark": mark.number, stroke: mark.colour }, EDGES.filter(([a, b]) => mark.corners[a] && mark.corners[b]).map(([a, b]) =>
      h("path", { d: `M${mark.corners[a].join(" ")}L${mark.corners[b].join(" ")}` })))));
}

function listOf(view, marks, light, copy, turnTo) {
  const rows = marks.map((mark) => h("li", {}, h("button", { type: "button", "data-mark": mark.number, style: { "--mark": mark.colour },
    onmouseenter: () => light(mark.number, true), onmouseleave: () => light(mark.number, false),
    onfocus: () => light(mark.number, true), onblur: () => light(mark.number, false),
    onclick: () => { turnTo(mark.picture); copy(mark); } },
    h("i", {}), h("b", {}, mark.label || t(`mark_${mark.kind}`)), h("code", {}, coordinates(mark)),
    mark.confidence !== null && h("small", { title: t("confidence") }, `${number(100 * mark.confidence, 0)} %`))));
  const actions = view.result.actions.map((action) => h("li", { class: "action" }, h("b", {}, t(`action_${action.action}`)),
    action.text && h("q", {}, action.text), action.direction && h("span", {}, t(`direction_${action.direction}`)),
    action.confidence !== null && h("small", { title: t("confidence") }, `${number(100 * action.confidence, 0)} %`), action.reason && h("p", {}, said(action.reason))));
  const count = view.result.data?.count;
  return [count !== undefined ? h("li", { class: "count" }, t("counted", { count })) : null, ...actions, ...rows];
}

function pictureChooser(view, picture, choose) {
  const shown = view.pictures.map((each, place) => [each, place]).filter(([each]) => isShown(each));
  if (shown.length < 2) return null;
  return h("select", { "aria-label": t("picture_number"), onchange: (event) => choose(Number(event.target.value)) },
    shown.map(([each, place]) => h("option", { value: place, selected: place === picture }, `${place + 1}. ${each.name}${each.page ? `, ${t("page_number", { number: each.page })}` : ""}`)));
}
