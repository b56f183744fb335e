// Refreshes parts of the page: throttled, never under a user's hands, with opened details kept.

const THROTTLE_MS = 400;
const BUSY_RETRY_MS = 1000;

const timers = new Map();

const isBusy = (part) => part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

function refresh(part) {
  timers.delete(part);
  if (isBusy(part)) schedule(part, BUSY_RETRY_MS);
  else htmx.trigger(part, "voidlux:refresh");
}

function schedule(part, delay = THROTTLE_MS) {
  if (!timers.has(part)) timers.set(part, setTimeout(() => refresh(part), delay));
}

// A part about one agent or task is drawn anew only for events about that one.
const subjectsOf = ({ task, agent, delivery }) => [task?.id, task?.parent_id, agent?.id, delivery?.agent_id];

export function refreshFor(event) {
  const subjects = subjectsOf(event);
  for (const part of document.querySelectorAll(`[data-events~="${CSS.escape(event.type)}"]`)) {
    if (!part.dataset.subject || subjects.includes(part.dataset.subject)) schedule(part);
  }
}

export function refreshNamed(names) {
  for (const name of names) {
    const part = document.getElementById(`part-${name}`);
    if (part) schedule(part, 0);
  }
}

export function refreshAll() {
  document.querySelectorAll("[data-part]").forEach((part) => schedule(part));
}

// What a user opened, closed, typed or had the focus on stays so when the part is drawn anew.
export function keepDetails() {
  let memory = null;
  document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (!detail.target.matches("[data-part]")) return;
    const open = new Map();
    detail.target.querySelectorAll("details[id]").forEach((each) => open.set(each.id, each.open));
    const typed = new Map();
    detail.target.querySelectorAll(":is(textarea, input)[id]").forEach((each) => typed.set(each.id, each.value));
    memory = { open, typed, focus: focusPath(detail.target) };
  });
  document.body.addEventListener("htmx:afterSwap", ({ detail }) => {
    if (!memory || !detail.target.matches("[data-part]")) return;
    memory.open.forEach((isOpen, id) => {
      const details = document.getElementById(id);
      if (details) details.open = isOpen;
    });
    memory.typed.forEach((value, id) => {
      const field = document.getElementById(id);
      if (field && value) field.value = value;
    });
    memory.focus?.()?.focus({ preventScroll: true });
    memory = null;
  });
}

// Buttons and summaries have no ids: they are found again by what they do.
function focusPath(part) {
  const focused = document.activeElement;
  if (!focused || !part.contains(focused)) return null;
  if (focused.matches("summary")) {
    const id = focused.parentElement.id;
    return () => id && document.querySelector(`#${CSS.escape(id)} > summary`);
  }
  for (const name of ["hx-get", "hx-post"]) {
    const value = focused.getAttribute(name);
    if (value) return () => part.querySelector(`[${name}="${CSS.escape(value)}"]`);
  }
  return null;
}
