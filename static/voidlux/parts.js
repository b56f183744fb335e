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

export function refreshFor(type) {
  for (const part of document.querySelectorAll(`[data-events~="${CSS.escape(type)}"]`)) schedule(part);
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

// What a user opened, closed or had the focus on stays so when the part is drawn anew.
export function keepDetails() {
  let memory = null;
  document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (!detail.target.matches("[data-part]")) return;
    const open = new Map();
    detail.target.querySelectorAll("details[id]").forEach((each) => open.set(each.id, each.open));
    memory = { open, focus: focusPath(detail.target) };
  });
  document.body.addEventListener("htmx:afterSwap", ({ detail }) => {
    if (!memory || !detail.target.matches("[data-part]")) return;
    memory.open.forEach((isOpen, id) => {
      const details = document.getElementById(id);
      if (details) details.open = isOpen;
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
