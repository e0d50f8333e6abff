// What every page gets: times in the reader's zone, and a question before what can't be undone.

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = exact.format(at);
    time.textContent = time.closest(".log") ? at.toLocaleTimeString(undefined, { hour12: false }) : zone.format(at);
  }
}

function ask(form) {
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  const buttons = document.createElement("div");
  const yes = document.createElement("button");
  const no = document.createElement("button");
  const inner = document.createElement("form");
  inner.method = "dialog";
  text.textContent = form.dataset.confirm;
  text.id = "question";
  dialog.setAttribute("aria-labelledby", "question");
  buttons.className = "buttons";
  yes.className = "strong";
  yes.value = "yes";
  yes.textContent = form.querySelector("button").textContent;
  no.value = "no";
  no.textContent = "Don't";
  no.autofocus = true;
  buttons.append(yes, no);
  inner.append(text, buttons);
  dialog.append(inner);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue === "yes") form.submit();
  });
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !event.defaultPrevented) {
    event.preventDefault();
    ask(form);
  }
});

// what was said once is not said again when the page is loaded anew
const here = new URL(location.href);
if (here.searchParams.has("said")) {
  here.searchParams.delete("said");
  here.searchParams.delete("number");
  history.replaceState(null, "", here);
}

localize(document);
