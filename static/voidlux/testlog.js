// The output of test runs in a goal's dialog: fetched from where the last answer ended, for as
// long as the run goes on, and kept while the part around it is drawn anew.

import { drawAnsi } from "./ansi.js";

const EVERY_MS = 700;
const RETRY_MS = 3000;
const SHOWN_CHARS_MAX = 65536; // the whole log has an address of its own
const NEAR_END_PX = 24;

export class TestLogs {
  constructor() {
    this.logs = new Map();
    this.dialog = null;
  }

  // Called whenever the dialog's content has changed, or is gone.
  look(dialog) {
    this.dialog = dialog;
    const wanted = new Set([...dialog.querySelectorAll("[data-log]")].map((place) => place.dataset.log));
    for (const [address, log] of this.logs) {
      if (wanted.has(address)) continue;
      clearTimeout(log.timer);
      this.logs.delete(address);
    }
    for (const address of wanted) {
      if (this.logs.has(address)) this.draw(address, true);
      else {
        this.logs.set(address, { text: "", next: null, decoder: new TextDecoder(), state: "running", timer: 0 });
        this.fetch(address);
      }
    }
  }

  async fetch(address) {
    const log = this.logs.get(address);
    if (!log) return;
    const part = log.next === null ? `tail=${SHOWN_CHARS_MAX}` : `offset=${log.next}`;
    let delay = EVERY_MS;
    try {
      const answer = await fetch(`${address}?${part}`, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.statusText);
      const data = await answer.arrayBuffer();
      log.text = (log.text + log.decoder.decode(data, { stream: true })).slice(-SHOWN_CHARS_MAX);
      log.next = Number(answer.headers.get("X-Log-Next"));
      log.state = answer.headers.get("X-Test-State");
      this.draw(address);
      if (log.state !== "running" && data.byteLength === 0) return;
    } catch {
      delay = RETRY_MS;
    }
    if (this.logs.get(address) === log) log.timer = setTimeout(() => this.fetch(address), delay);
  }

  draw(address, toEnd = false) {
    const place = this.dialog.querySelector(`[data-log="${CSS.escape(address)}"]`);
    const log = this.logs.get(address);
    if (!place || !log) return;
    const screen = place.querySelector(".screen");
    const state = place.querySelector("[data-log-state]");
    const followed = toEnd || screen.scrollHeight - screen.scrollTop - screen.clientHeight < NEAR_END_PX;
    const running = log.state === "running";
    state.textContent = running ? "live" : log.state.replace("_", " ");
    state.dataset.live = running ? "yes" : "no";
    if (String(document.getSelection()) && screen.contains(document.getSelection().anchorNode)) return; // somebody copies
    screen.replaceChildren(drawAnsi(log.text));
    if (followed) screen.scrollTop = screen.scrollHeight;
  }
}
