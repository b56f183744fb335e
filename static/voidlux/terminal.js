// The live terminal in an agent's dialog: watches while it is open, and follows its last line.

import { drawAnsi } from "./ansi.js";

const AGAIN_MS = 15000; // the node stops sending 30 s after the last word of a watcher
const NEAR_END_PX = 24;

export class Terminal {
  constructor(send) {
    this.send = send;
    this.watched = null;
    setInterval(() => this.say("watch"), AGAIN_MS);
  }

  say(word) {
    if (this.watched) this.send({ [word]: this.watched });
  }

  // Called whenever the dialog's content has changed, or is gone.
  look(dialog) {
    const place = dialog.querySelector("[data-watch]");
    const wanted = place?.dataset.watch ?? null;
    if (wanted !== this.watched) {
      this.say("unwatch");
      this.watched = wanted;
      this.say("watch");
    }
    this.screen = place?.querySelector(".screen") ?? null;
    this.state = place?.querySelector("[data-terminal-state]") ?? null;
    if (this.screen) this.draw(this.screen.textContent, true);
  }

  show(event) {
    if (event.agent_id !== this.watched || !this.screen) return;
    this.draw(event.coloured ?? event.screen);
    this.state.textContent = "live";
    this.state.dataset.live = "yes";
  }

  draw(text, toEnd = false) {
    const { screen } = this;
    const followed = toEnd || screen.scrollHeight - screen.scrollTop - screen.clientHeight < NEAR_END_PX;
    if (String(document.getSelection()) && screen.contains(document.getSelection().anchorNode)) return; // somebody copies
    screen.replaceChildren(drawAnsi(text));
    if (followed) screen.scrollTop = screen.scrollHeight;
  }
}
