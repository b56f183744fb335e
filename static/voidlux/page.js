// Joins the dashboard's modules: live events, parts, dialogs and small conveniences.

import { LiveEvents } from "./live.js";
import { keepDetails, refreshAll, refreshFor, refreshNamed } from "./parts.js";
import { Terminal } from "./terminal.js";
import { TestLogs } from "./testlog.js";
import { keepTimes } from "./times.js";

const STATES = { connecting: "Connecting", live: "Live", offline: "Offline, retrying" };
const ANNOUNCE_MS = 1500;
const DONE_MS = 8000;

const byId = (id) => document.getElementById(id);
const dialog = byId("dialog");
let latestNews = "";
let isAnswer = false;

function showState(state) {
  if (byId("live").dataset.state === state) return;
  byId("live").dataset.state = state;
  byId("live-text").textContent = STATES[state];
}

// One sentence at a time: a screen reader must not be flooded by a busy swarm. What the swarm tells
// meanwhile does not replace the answer to what was asked for here.
function announce(text, answers = false) {
  if (!latestNews) setTimeout(sayLatest, ANNOUNCE_MS);
  if (latestNews && isAnswer && !answers) return;
  [latestNews, isAnswer] = [text, answers];
}

function sayLatest() {
  byId("announcer").textContent = latestNews;
  latestNews = "";
}

// An open dialog hides what changed on the page: it says itself that something is done.
function sayDone(message) {
  const line = document.createElement("p");
  line.className = "notice done";
  line.textContent = message;
  byId("dialog-notice").append(line);
  setTimeout(() => line.remove(), DONE_MS);
}

function newsOf(event) {
  const subject = event.task?.title ?? event.agent?.name ?? event.post?.author ?? event.delivery?.kind ?? event.pull_request?.title ?? event.type.replace("_update", "");
  return `${subject}: ${event.event.replaceAll("_", " ")}`;
}

function showCost() {
  const form = dialog.querySelector("[data-price]");
  if (!form) return;
  const cost = Number(form.dataset.price) * Math.max(0, Number(form.elements.task_count.value) || 0);
  form.querySelector("[data-cost]").textContent = cost.toLocaleString("en-US");
}

function onClick({ target }) {
  const button = target.closest("[data-close], [data-dismiss], [data-copy], [data-fill]");
  if (!button) return;
  if ("close" in button.dataset) dialog.close();
  if ("dismiss" in button.dataset) button.closest(".notice").remove();
  if ("copy" in button.dataset) copy(button);
  if ("fill" in button.dataset) {
    const field = byId(button.dataset.fill);
    field.value = byId(button.dataset.from).textContent;
    field.focus();
  }
}

async function copy(button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = button.dataset.copy; // no clipboard without HTTPS: show it to be selected
    return;
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

document.addEventListener("click", onClick);
document.addEventListener("input", showCost);
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  byId("dialog-body").replaceChildren();
  byId("dialog-notice").replaceChildren();
  terminal.look(dialog);
  testLogs.look(dialog);
});

// What the page says while a dialog is open must be said in the dialog, which covers the page.
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.id === "notice" && dialog.open) detail.target = byId("dialog-notice");
});

document.body.addEventListener("htmx:afterSwap", ({ detail }) => {
  if (dialog.contains(detail.target)) testLogs.look(dialog);
  if (detail.target.id !== "dialog-body") return;
  if (!dialog.open) dialog.showModal();
  byId("dialog-notice").replaceChildren();
  const wrong = dialog.querySelector(".wrong :is(input, select, textarea)");
  const added = dialog.querySelector("[data-focus]");
  (wrong ?? added ?? dialog.querySelector(".field :is(input:not([type=hidden]), textarea, select)"))?.focus();
  if (!dialog.contains(document.activeElement)) dialog.querySelector("[data-close]").focus();
  if (wrong || !added) dialog.scrollTop = 0;
  terminal.look(dialog);
  showCost();
});

document.body.addEventListener("voidlux:saved", ({ detail, target }) => {
  if (!detail.stay) dialog.close();
  for (const id of ["notice", "dialog-notice"]) byId(id).replaceChildren();
  // An answer that has been given is no longer being written.
  if (target.matches("form.answer")) { target.reset(); document.activeElement?.blur(); }
  refreshNamed(detail.parts);
  if (detail.stay) sayDone(detail.message);
  else announce(detail.message, true);
});

document.body.addEventListener("htmx:sendError", () => showState("offline"));

keepDetails();
keepTimes();
const events = new LiveEvents({
  onState: (state) => { showState(state); if (state === "live") terminal.say("watch"); },
  onResync: refreshAll,
  onScreen: (event) => terminal.show(event),
  onEvent: (event) => { refreshFor(event); announce(newsOf(event)); },
});
const testLogs = new TestLogs();
const terminal = new Terminal((message) => events.send(message));
events.start();
