// Follows the node's events over one WebSocket: reconnects with back-off, resumes from a seq.
// Behind one address another node may answer next time: a seq counts only with its node.

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15000;
const CLOSE_UNAUTHENTICATED = 4401;

export class LiveEvents {
  constructor({ onEvent, onState, onResync, onScreen }) {
    Object.assign(this, { onEvent, onState, onResync, onScreen });
    this.socket = null;
    this.nodeId = null;
    this.seq = null;
    this.retries = 0;
  }

  start() {
    this.onState("connecting");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const since = this.seq === null ? "" : `?since=${this.seq}&node=${this.nodeId}`;
    const socket = new WebSocket(`${scheme}//${location.host}/ws${since}`);
    socket.addEventListener("message", (message) => this.receive(JSON.parse(message.data)));
    socket.addEventListener("close", (close) => this.closed(close));
    this.socket = socket;
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  receive(event) {
    if (event.type === "status" && event.event === "hello") return this.greeted(event);
    if (event.type === "status" && event.event === "resync") {
      this.seq = event.seq;
      return this.onResync();
    }
    if (event.type === "agent_output") return this.onScreen(event); // not kept: it has no seq
    // An event may come twice, or after a later one: drawing a part anew twice does no harm.
    this.seq = Math.max(this.seq ?? 0, event.seq);
    this.onEvent(event);
  }

  greeted(hello) {
    this.retries = 0;
    this.onState("live");
    if (this.nodeId !== hello.node_id) {
      this.nodeId = hello.node_id;
      this.seq = hello.seq;
      this.onResync(); // the page is as old as its HTML, or shows what another node knew
    }
  }

  closed(close) {
    if (close.code === CLOSE_UNAUTHENTICATED) {
      location.assign("/login");
      return;
    }
    this.onState("offline");
    const delay = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.retries) * (0.75 + Math.random() / 2);
    this.retries += 1;
    setTimeout(() => this.start(), delay);
  }
}
