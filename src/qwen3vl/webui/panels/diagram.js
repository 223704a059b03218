// A diagram: drawn from its nodes and edges, and its source to copy.

import { h, iconButton } from "../static/dom.js";
import { t } from "../static/texts.js";
import { copied } from "../static/thread.js";
import { frameOf } from "./preview.js";

const MARGIN = 20;

export default {
  applies: ({ result }) => result.diagrams.length > 0,

  render(element, { result }) {
    for (const diagram of result.diagrams) {
      const drawn = diagram.format === "svg" ? svgFrame(diagram) : draft(diagram);
      element.append(...[drawn].filter(Boolean), h("div", { class: "panel-bar" }, h("b", {}, t(`diagram_${diagram.format}`)),
        diagram.nodes.length ? h("small", {}, t("diagram_parts", { nodes: diagram.nodes.length, edges: diagram.edges.length })) : null,
        h("span", { class: "gap" }), iconButton("copy", t("copy"), (event) => copied(event, diagram.source))), h("pre", { class: "plain", tabindex: 0 }, diagram.source));
    }
  },
};

function svgFrame(diagram) {
  const frame = frameOf(`<style>body{margin:0;display:grid;place-items:center;height:100vh;background:#fff}svg{max-width:100%;max-height:100vh}</style>${diagram.source}`);
  return h("div", { class: "svg-frame" }, frame);
}

// Boxes and arrows where the diagram has them; what has no place is only in the source.
function draft(diagram) {
  const placed = diagram.nodes.filter((node) => node.box);
  if (!placed.length) return null;
  const boxes = new Map(placed.map((node) => [node.id, node.box]));
  const [left, top] = [0, 1].map((side) => Math.min(...placed.map((node) => node.box[side])) - MARGIN);
  const [right, bottom] = [2, 3].map((side) => Math.max(...placed.map((node) => node.box[side])) + MARGIN);
  const middle = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];
  const root = svg("svg", { viewBox: `${left} ${top} ${right - left} ${bottom - top}`, class: "draft", role: "img", "aria-label": t("panel_diagram") });
  root.append(svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, svg("path", { d: "M0 0 10 5 0 10z", class: "tip" }))));
  for (const edge of diagram.edges) {
    const [from, to] = [boxes.get(edge.source), boxes.get(edge.target)];
    if (!from || !to) continue;
    const [a, b] = [border(from, middle(to)), border(to, middle(from))];
    root.append(svg("path", { d: `M${a.join(" ")}L${b.join(" ")}`, class: "edge", "marker-end": "url(#tip)" }));
    if (edge.text) root.append(label(edge.text, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2 - 6], "edge-text"));
  }
  for (const { box, text } of placed) {
    const [x1, y1, x2, y2] = box;
    root.append(svg("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, rx: 6, class: "node" }), label(text, middle(box), "node-text"));
  }
  return root;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function label(text, [x, y], kind) {
  const element = svg("text", { x, y, class: kind });
  element.textContent = text;
  return element;
}

// Where the line from the middle of a box to a point leaves the box.
function border([x1, y1, x2, y2], [x, y]) {
  const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const [dx, dy] = [x - cx, y - cy];
  const share = Math.min((x2 - x1) / 2 / Math.abs(dx || 1e-9), (y2 - y1) / 2 / Math.abs(dy || 1e-9), 1);
  return [cx + dx * share, cy + dy * share];
}
