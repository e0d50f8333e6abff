// The front page, looked at anew every few seconds while somebody looks at it.

import { localize } from "./page.js";

const EVERY_MS = 5000;
const place = document.querySelector("[data-part=tasks]");

async function refresh() {
  if (document.hidden || place.contains(document.activeElement)) return;
  const answer = await fetch(location.pathname, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload();
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  localize(fresh);
  const other = fresh.querySelector("[data-part=tasks]");
  if (other && other.innerHTML !== place.innerHTML) place.replaceChildren(...other.childNodes);
}

// a server that is away is asked again the next time
setInterval(() => refresh().catch(() => {}), EVERY_MS);
