// Values as people read them: the same words as the server's.

export const MISSING = "\u2013";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

export function number(value) {
  if (value === null || value === undefined) return MISSING;
  return (Math.abs(value) >= 100 ? whole : tenth).format(value);
}

export function percent(value) {
  return value === null || value === undefined ? MISSING : `${number(value)} %`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  if (seconds > 0 && seconds < 1) return `${Math.max(Math.round(seconds * 1000), 1)}ms`;
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(1).replace(/\.0$/, "")}s`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (parts.length || count) parts.push([unit, count]);
  }
  return parts.slice(0, 2).filter(([, count]) => count).map(([unit, count]) => `${count}${unit}`).join(" ");
}

export function ago(seconds) {
  return seconds < 2 ? "just now" : `${duration(seconds)} ago`;
}

export function sentence(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : "";
}

export function stateWord(state) {
  if (state.state === "paused") return "paused";
  if (state.state === "running" && !state.wait_reason) return "running";
  return state.live_runs.length ? "waiting" : "idle";
}

// Outcomes as parts of a bar 1,000 wide.
export function shares(state) {
  let before = 0;
  const place = (rows) => (state.total ? Math.min(1000, Math.round((1000 * rows) / state.total)) : 0);
  return [["ok", state.ok], ["nothing", state.nothing_found], ["skipped", state.skipped], ["failed", state.failed]].map(([name, rows]) => {
    const left = place(before);
    before += rows;
    return { name, left, width: place(before) - left };
  });
}

// Bars in a drawing 40 high and 4 wide for each number.
export function sparkPath(values) {
  const most = Math.max(0, ...values);
  return values.map((value, place) => (value ? `M${4 * place} 40v-${Math.max(1.5, (38 * value) / most).toFixed(1)}h3V40z` : "")).join("");
}
