// The conversation that is open: what is shown of it, and what can be done with it. Knows nothing of how it looks.
//
// Says "changed" when its turns are others, "turn" when one of them has grown, "result" when there is more of a result,
// "selected" when another answer's result is to be shown, "failed" with an error, "left" with one that was closed.

import { call, events, get, patch, post, remove } from "./api.js";

export const bus = new EventTarget();
const tell = (type, detail) => bus.dispatchEvent(new CustomEvent(type, { detail }));
const RETRY_MS = 1000;

export const open = { id: null, title: "", turns: [], selected: null, pending: null };
export const results = new Map(); // by answer
let watching = null; // the answer whose growth is followed
let visit = 0; // an answer to an earlier visit comes too late

export const isRunning = () => open.pending !== null || open.turns.at(-1)?.state === "running";
export const answerOf = (id) => open.turns.find((turn) => turn.id === id);
export const questionOf = (answer) => open.turns.find((turn) => turn.id === answer.parent);

export function start() {
  const wanted = () => location.hash.match(/^#c=([0-9a-f]{32})$/)?.[1] ?? null;
  window.addEventListener("hashchange", () => {
    if (isOurs() && wanted() !== open.id) wanted() ? show(wanted()) : fresh();
  });
  return wanted() ? show(wanted()) : fresh();
}

// The address may name a place beside the conversations; what becomes of one meanwhile does not lead away from it.
const isOurs = () => location.hash === "" || location.hash.startsWith("#c=");
export const address = () => (open.id === null ? location.pathname + location.search : `#c=${open.id}`);
const goThere = () => isOurs() && location.hash !== `#c=${open.id}` && history.replaceState(null, "", address());

export function fresh() {
  leave(null);
  Object.assign(open, { id: null, title: "", turns: [], selected: null, pending: null });
  goThere();
  tell("changed");
}

export async function show(id) {
  leave(id);
  const mine = ++visit;
  try {
    const found = await get(`page/conversations/${id}`);
    if (mine !== visit) return;
    take(found);
  } catch (error) {
    fresh();
    if (error.status !== 404) tell("failed", error);
  }
}

function leave(next) {
  visit += 1;
  watching?.abort();
  watching = null;
  results.clear();
  if (open.id !== null && open.id !== next) tell("left", open.id);
}

async function again() {
  const mine = visit;
  const found = await get(`page/conversations/${open.id}`);
  if (mine === visit) take(found);
}

function take(found) {
  Object.assign(open, { id: found.id, title: found.title, turns: found.turns, pending: null });
  const answers = open.turns.filter((turn) => turn.role === "assistant");
  if (!answers.some((turn) => turn.id === open.selected)) open.selected = answers.at(-1)?.id ?? null;
  goThere();
  tell("changed");
  const last = open.turns.at(-1);
  if (last?.state === "running") watch(last.id);
  else if (open.selected !== null) select(open.selected);
}

export async function select(answer) {
  open.selected = answer;
  tell("selected", answer);
  if (results.has(answer) || answerOf(answer)?.state === "running") return;
  const mine = visit;
  try {
    const found = await get(`page/answers/${answer}`);
    if (mine === visit) keepResult(answer, found);
  } catch (error) {
    tell("failed", error);
  }
}

function keepResult(answer, found) {
  results.set(answer, found);
  tell("result", answer);
}

// Asks `body` of the public API. `pending` is what is shown until the server has it.
export async function ask(body, pending) {
  watching?.abort();
  open.pending = pending;
  tell("changed");
  const mine = visit;
  try {
    if (open.id === null) {
      const made = await post("v1/conversations", {});
      if (mine !== visit) return false;
      open.id = made.id;
      goThere();
    }
    // The first event comes with the first token; the answer goes on when this is hung up.
    for await (const event of events(`v1/conversations/${open.id}/messages`, { method: "POST", body: { ...body, stream: true } }))
      if (event.type === "answer") {
        if (mine === visit) open.selected = event.message.id;
        break;
      }
    if (mine !== visit) return false;
    await again();
    if (!isRunning()) tell("ended", open.selected); // sooner than it could be followed
    return true;
  } catch (error) {
    if (mine !== visit) return false;
    open.pending = null;
    const before = open.turns.length;
    if (open.id !== null) await again().catch(() => tell("changed"));
    else tell("changed");
    const kept = open.turns.length > before || (body.content === undefined && open.turns.at(-1)?.state === "failed");
    if (!kept) tell("failed", error); // else the answer itself says what was wrong
    return kept;
  }
}

export async function stop() {
  let running = open.turns.find((turn) => turn.state === "running");
  if (!running && open.id !== null) {
    // Before the first token the page does not know the answer yet.
    const found = await get(`page/conversations/${open.id}`);
    running = found.turns.find((turn) => turn.state === "running");
  }
  if (running) await post(`v1/conversations/${open.id}/messages/${running.id}/stop`);
}

export async function branchTo(message) {
  open.selected = null;
  await patch(`v1/conversations/${open.id}`, { active: message });
  await again();
}

// Follows an answer to its end, through broken connections and restarts of the server.
async function watch(answer) {
  watching?.abort();
  const control = (watching = new AbortController());
  open.selected = answer;
  tell("selected", answer);
  while (!control.signal.aborted) {
    try {
      for await (const event of events(`page/answers/${answer}/live`, { signal: control.signal })) {
        if (control.signal.aborted) return;
        if (event.type === "result") keepResult(answer, event);
        else {
          const place = open.turns.findIndex((turn) => turn.id === answer);
          if (place < 0) return;
          open.turns[place] = { ...event.turn, siblings: open.turns[place].siblings };
          tell("turn", open.turns[place]);
        }
      }
      tell("ended", answer);
      return;
    } catch (error) {
      if (control.signal.aborted || (error.status && error.status < 500)) return;
      tell("offline");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

export const rename = async (id, title) => {
  await patch(`v1/conversations/${id}`, { title });
  if (id === open.id) open.title = title;
};

export async function erase(id, options) {
  await remove(`v1/conversations/${id}`, options);
  if (id === open.id) fresh();
}

export const exportPath = (id, format) => `v1/conversations/${id}/export?format=${format}`;
export const fileOf = async (path) => (await call("GET", path)).blob();
