// What stands beside the picture of a GUI agent at work: the step that waits for a word, one that was taken, what the
// page was not let do, files to keep. Knows nothing of the server.

import { h, icon, seconds } from "../static/dom.js";
import { number, said, t } from "../static/texts.js";
import { words } from "./agent_step.js";

const CAUTIONS = ["submit", "password", "payment", "file", "consequence", "other_site", "frame", "unsure", "changed", "repeats", "steps", "halted"];

export const isClosed = (view) => ["stopped", "failed"].includes(view.state);
export const isSecret = (proposal) => proposal?.step?.action === "type" && Boolean(proposal.element?.traits.includes("password"));

export const nameOf = (proposal) => proposal?.element?.text.trim().slice(0, 60) ?? "";

const caution = (name) => (CAUTIONS.includes(name) ? t(`caution_${name}`) : said(name));
const cautions = (names) => names.length > 0 && h("ul", { class: "cautions" }, names.map((name) => h("li", {}, icon("warning"), caution(name))));

// How sure the model was, by its own probabilities.
function confidence(step) {
  if (step.confidence === null || step.confidence === undefined) return null;
  const percent = Math.round(100 * step.confidence);
  return h("div", { class: "sure", title: t("confidence") }, h("span", {}, t("agent_sure")),
    h("div", { class: "meter", role: "meter", "aria-valuenow": percent, "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": t("confidence"), "data-low": percent < 70 }, h("i", { style: { width: `${percent}%` } })),
    h("b", {}, `${percent} %`));
}

const folded = (title, text, css = "") => text && h("details", { class: `folded ${css}` }, h("summary", {}, title), h("pre", { class: "plain" }, text));

// The step that waits. `answer` and thought of the model are there to be read.
export function proposalCard(view, figures) {
  const { proposal } = view, { step } = proposal;
  return h("section", { class: "proposal", "aria-label": t("agent_proposed") },
    step ? h("p", { class: "what" }, words(step, isSecret(proposal), nameOf(proposal))) : h("p", { class: "what" }, t("agent_no_step")),
    step && confidence(step),
    step?.reason && h("p", { class: "reason" }, step.reason),
    proposal.element && !["html", "body"].includes(proposal.element.tag) && elementLine(proposal.element),
    cautions(proposal.cautions),
    proposal.problem && step && h("p", { class: "notice" }, said(proposal.problem)),
    folded(t("thinking"), proposal.thinking),
    // What would be typed into a password's field is in the model's words too.
    !isSecret(proposal) && folded(t("agent_answer"), proposal.text),
    figures && proposal.usage && h("small", { class: "figures" }, `${number(proposal.usage.completion_tokens)} ${t("stat_tokens")} · ${seconds(proposal.metrics.total_seconds)}`));
}

function elementLine(element) {
  const name = element.text.trim().slice(0, 80) || element.kind || element.tag;
  return h("p", { class: "touches" }, h("span", {}, t("agent_touches")), h("code", {}, `<${element.tag}>`), h("b", {}, name), element.href && h("small", {}, element.href));
}

export function takenCard(taken) {
  return h("section", { class: "proposal taken", "aria-label": t("agent_step_number", { number: taken.number }) },
    h("p", { class: "what" }, h("span", { class: "state", "data-state": taken.outcome }, t(`outcome_${taken.outcome}`)), words(taken.step)),
    confidence(taken.step),
    taken.step.reason && h("p", { class: "reason" }, taken.step.reason),
    h("p", { class: "touches" }, h("span", {}, t(`by_${taken.by}`)), h("small", {}, `${number(taken.seconds, 1)} s`)),
    cautions(taken.cautions),
    taken.note && h("p", { class: "note" }, said(taken.note)),
    taken.notices.length > 0 && notices(taken.notices),
    folded(t("agent_answer"), taken.answer));
}

// Everything that the page tried and was not let, the same things once.
export function blocked(view) {
  const all = [...view.notices, ...view.steps.flatMap((taken) => taken.notices)];
  if (!all.length) return h("p", { class: "hint" }, t("agent_nothing_blocked"));
  return h("details", { class: "folded blocked", open: true }, h("summary", {}, t("agent_blocked", { count: all.length })), notices(all));
}

function notices(all) {
  const counted = new Map();
  for (const notice of all) {
    const key = JSON.stringify([notice.kind, notice.what, notice.reason]);
    counted.set(key, { ...notice, count: (counted.get(key)?.count ?? 0) + 1 });
  }
  return h("ul", { class: "notices" }, [...counted.values()].map((notice) => h("li", { "data-kind": notice.kind },
    h("b", {}, t(`notice_${notice.kind}`)), h("code", {}, notice.what), notice.count > 1 && h("small", {}, `× ${notice.count}`),
    notice.reason && h("small", {}, t(`reason_${notice.reason}`)))));
}

// The reasons that the step itself does not tell.
export const whyPaused = (view) =>
  view.pause.length > 0 && h("div", { class: "paused" }, h("p", {}, t("agent_paused")), cautions(view.pause.filter((name) => name && !view.proposal?.cautions.includes(name))));

export const exportsOf = (base) => h("div", { class: "exports" }, h("span", {}, t("export")),
  [["markdown", "MD"], ["json", "JSON"]].flatMap(([format, name]) => [
    h("a", { class: "chip", href: `${base}/export?format=${format}`, download: "" }, icon("down"), name),
    h("a", { class: "chip", href: `${base}/export?format=${format}&pictures=true`, download: "" }, icon("down"), t("agent_with_pictures", { name }))]));
