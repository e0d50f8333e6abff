// A task's page as it changes: numbers and the log by server-sent events, other parts fetched anew.

import { localize } from "./page.js";
import { ago, duration, number, percent, sentence, shares, sparkPath, stateWord, MISSING } from "./words.js";

const SILENT_MS = 25000;
const AGAIN_MS = 3000;
const AGAIN_MOST_MS = 30000;
const HIDDEN_MS = 15000;
const TOLD_MS = 15000;
const LINES = 300;

const section = document.querySelector("[data-stream]");
const address = new URL(section.dataset.stream, location.href);
const places = new Map([...document.querySelectorAll("[data-live]")].map((one) => [one.dataset.live, one]));
const at = (name) => places.get(name);
const seen = new Set([...at("log").querySelectorAll("[data-id]")].map((line) => line.dataset.id));

let source = null;
let timer = 0;
let heard = Date.now();
let over = false;
let unlisted = 0;
let told = 0;
let before = null;
let again = AGAIN_MS;
let refreshing = false;
let wanted = false;

function write(name, text) {
  const place = at(name);
  if (place && place.textContent !== text) place.textContent = text;
}

function show(name, shown) {
  at(name).hidden = !shown;
}

function live(text, kind) {
  const place = at("live");
  if (place.textContent !== text) place.textContent = text;
  place.className = `live push ${kind}`;
}

function onState(state) {
  const word = stateWord(state);
  const badge = at("badge").firstElementChild;
  badge.className = `badge ${word}`;
  if (badge.textContent !== word) badge.textContent = word;
  for (const name of ["total", "done", "ok", "nothing_found", "skipped", "failed", "remaining", "processes"]) write(name, number(state[name]));
  show("about", !state.total_exact);
  show("has_nothing", state.nothing_found > 0);
  section.querySelector(".counters").classList.toggle("four", state.nothing_found > 0);
  write("percent", percent(state.percent));
  write("eta", duration(state.eta));
  write("per_minute", state.per_minute && state.processes ? number(state.per_minute) : MISSING);
  write("wait_reason", sentence(state.wait_reason || ""));
  show("wait_reason", Boolean(state.wait_reason) && (word === "paused" || word === "waiting"));
  drawBar(state);
  at("spark").setAttribute("d", sparkPath(state.spark));
  write("most", number(Math.max(0, ...state.spark)));
  if (state.run) drawRun(state.run);
  tell(state, word);
  const mark = JSON.stringify([state.state, state.changed, state.failed, state.live_runs, state.run && state.run.status]);
  if (before !== null && before !== mark) refresh();
  before = mark;
}

function drawBar(state) {
  const bar = at("bar");
  if (state.percent === null) bar.removeAttribute("aria-valuenow");
  else bar.setAttribute("aria-valuenow", state.percent);
  for (const { name, left, width } of shares(state)) {
    const part = bar.querySelector(`rect.${name}`);
    part.setAttribute("x", left);
    part.setAttribute("width", width);
  }
}

// The row of the newest run in the table of the last ones.
function drawRun(run) {
  const row = document.querySelector(`[data-run="${Number(run.run)}"]`);
  if (!row) return;
  const shown = { elapsed: duration(run.elapsed_s), processed: number(run.processed), failed: number(run.failed) };
  for (const [name, text] of Object.entries(shown)) {
    const cell = row.querySelector(`[data-of="${name}"]`);
    if (cell.textContent !== text) cell.textContent = text;
  }
}

// For who listens instead of looking: now and then, and whenever the state is another one.
function tell(state, word) {
  const now = Date.now();
  const changed = at("told").dataset.word !== word;
  if (!changed && now - told < TOLD_MS) return;
  told = now;
  const first = at("told").dataset.word === undefined;
  at("told").dataset.word = word;
  if (!first) write("told", `${word}: ${number(state.done)} of ${number(state.total)} rows processed, ${number(state.failed)} failed`);
}

function onLog(message) {
  const log = at("log");
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  for (const line of message.lines) {
    if (seen.has(line.id)) continue;
    seen.add(line.id);
    log.append(drawLine(line));
  }
  log.querySelector(".empty")?.remove();
  while (log.children.length > LINES) {
    seen.delete(log.firstElementChild.dataset.id);
    log.firstElementChild.remove();
  }
  unlisted += message.more;
  if (unlisted) write("more", `and ${number(unlisted)} more rows`);
  if (follows) log.scrollTop = log.scrollHeight;
}

function drawLine(line) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const text = document.createElement("span");
  item.className = line.kind;
  item.dataset.id = line.id;
  time.dateTime = line.at;
  time.textContent = new Date(line.at).toLocaleTimeString(undefined, { hour12: false });
  text.textContent = line.text;
  item.append(time, text);
  return item;
}

function onRunners(runners) {
  const list = at("runners");
  const empty = list.querySelector(".none");
  if (!runners.length) {
    if (!empty) {
      const none = document.createElement("li");
      none.className = "none";
      none.textContent = "No process works for it now.";
      list.replaceChildren(none);
    }
    return;
  }
  list.replaceChildren(...runners.map(drawRunner));
}

function drawRunner(runner) {
  const item = at("runner").content.cloneNode(true);
  const badge = item.querySelector(".badge");
  item.querySelector("b").textContent = `${runner.host} ${runner.pid}`;
  badge.textContent = runner.silent ? "silent" : "alive";
  badge.classList.add(runner.silent ? "silent" : "running");
  item.querySelector("p").textContent =
    `run ${runner.run}, ${number(runner.processed)} rows, ${number(runner.failed)} failed, holds ${number(runner.holds)}; ` +
    `heartbeat ${ago(runner.heartbeat)}${runner.note ? `; ${runner.note}` : ""}`;
  return item;
}

// What no event carries is taken from the page as the server makes it now.
async function refresh() {
  wanted = true;
  if (refreshing) return;
  refreshing = true;
  try {
    while (wanted) {
      wanted = false;
      const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
      if (answer.redirected || answer.status === 401) return leave("You are logged out.");
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  } catch {
    // the stream says that the server is away, and asks for another refresh when it is back
    before = "";
  } finally {
    refreshing = false;
  }
}

function swap(fresh) {
  localize(fresh);
  for (const part of document.querySelectorAll("[data-part]")) {
    const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (part.querySelector("details[open]") || part.matches('[data-part="heading"]')) continue;
    if (!other || other.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.textContent : null;
    part.replaceChildren(...other.childNodes);
    if (focused !== null) {
      const again = [...part.querySelectorAll("button, a")].find((one) => one.textContent === focused) || part.querySelector("button, a");
      again?.focus();
    }
  }
}

function leave(text) {
  over = true;
  stop();
  live("", "off");
  const link = document.createElement("a");
  link.href = `/login?next=${encodeURIComponent(location.pathname)}`;
  link.textContent = "Log in";
  at("live").append(`${text} `, link);
}

function on(name, handle) {
  source.addEventListener(name, (event) => {
    heard = Date.now();
    again = AGAIN_MS;
    if (event.lastEventId) address.searchParams.set("after", event.lastEventId);
    if (name !== "trouble" && !over) live("Live", "on");
    handle(JSON.parse(event.data));
  });
}

function start() {
  if (source || over) return;
  heard = Date.now();
  source = new EventSource(address);
  on("state", onState);
  on("log", onLog);
  on("runners", onRunners);
  on("pulse", () => {});
  on("trouble", (trouble) => live(`Not live: ${trouble.text}`, "off"));
  on("gone", (gone) => leave(gone.reason === "logged out" ? "You are logged out." : `You are logged out: ${gone.reason}.`));
  source.addEventListener("error", () => {
    if (over) return;
    live("Not live, trying again", "off");
    // after an answer that is no stream a browser gives up for good
    if (source.readyState === EventSource.CLOSED) {
      stop();
      timer = setTimeout(start, again);
      again = Math.min(2 * again, AGAIN_MOST_MS);
      // it may be that the session is over: the page itself is asked
      refresh();
    }
  });
}

function stop() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

setInterval(() => {
  if (source && Date.now() - heard > SILENT_MS) {
    live("Not live, trying again", "off");
    stop();
    start();
  }
}, 5000);

// a browser has few connections to a server: tabs that nobody looks at give theirs back
let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(stop, HIDDEN_MS);
  else start();
});
addEventListener("pagehide", stop);
addEventListener("pageshow", start);

at("log").scrollTop = at("log").scrollHeight;
start();
