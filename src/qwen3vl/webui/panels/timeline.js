// The video with what happens in it: a strip of events, and a list; a click goes to the moment.

import { clock, fill, h } from "../static/dom.js";
import { t } from "../static/texts.js";
import { sourceOf } from "../static/sources.js";

const COLOURS = 8;

export default {
  applies: ({ result, pictures }) => result.events.length > 0 && pictures.some((picture) => picture.kind === "video"),

  render(element, view) {
    const film = view.pictures.find((picture) => picture.kind === "video");
    const moves = film.media_type !== "image/gif"; // a GIF has no time to go to
    const player = moves
      ? h("video", { src: sourceOf(film), controls: true, preload: "metadata", playsinline: true, "aria-label": film.name })
      : h("img", { src: sourceOf(film), alt: film.name });
    const strip = h("div", { class: "strip" }), list = h("ol", { class: "events" });
    const head = h("i", { class: "head" });
    const length = () => film.seconds || player.duration || 1;
    const seek = (seconds) => {
      if (moves) player.currentTime = seconds;
    };
    const follow = () => {
      head.style.left = `${(100 * player.currentTime) / length()}%`;
      for (const row of list.children) row.classList.toggle("now", player.currentTime >= Number(row.dataset.start) - 0.05 && player.currentTime <= Math.max(Number(row.dataset.end), Number(row.dataset.start) + 0.5));
    };
    if (moves) player.addEventListener("timeupdate", follow);
    const draw = ({ result }) => {
      fill(strip, result.events.map((event, place) => h("button", { type: "button", tabindex: -1, class: `c${place % COLOURS}`, title: `${clock(event.start)} ${event.title || event.text}`, "aria-label": `${clock(event.start)} ${event.title || event.text}`,
        style: { left: `${(100 * event.start) / length()}%`, width: `max(6px, ${(100 * (event.end - event.start)) / length()}%)` }, onclick: () => seek(event.start) })), head);
      fill(list, result.events.map((event, place) => h("li", { "data-start": event.start, "data-end": event.end }, h("button", { type: "button", onclick: () => seek(event.start) },
        h("i", { class: `c${place % COLOURS}` }), h("time", {}, event.end > event.start ? `${clock(event.start)} – ${clock(event.end)}` : clock(event.start)),
        h("span", {}, event.title && h("b", {}, event.title), event.title && event.text ? " " : "", event.text)))));
    };
    element.append(player, strip, h("p", { class: "hint" }, t(moves ? "seek_hint" : "gif_hint")), list);
    draw(view);
    return draw;
  },
};
