// Draws a terminal's text with its colours. Only text nodes are made: what a program prints can
// never become an element, an attribute or a script, and every other escape sequence is dropped.

const ESCAPES = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|([\x0e\x0f])|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;
const LINES = { j: "┘", k: "┐", l: "┌", m: "└", n: "┼", q: "─", t: "├", u: "┤", v: "┴", w: "┬", x: "│", a: "▒", "`": "◆", "~": "·" };
const STEPS = [0, 95, 135, 175, 215, 255];
const FLAGS = { 1: ["bold", true], 2: ["dim", true], 3: ["italic", true], 4: ["underline", true], 7: ["inverse", true], 9: ["struck", true], 22: ["bold", false], 23: ["italic", false], 24: ["underline", false], 27: ["inverse", false], 29: ["struck", false] };

// A palette number stays a name, so that themes can say what it looks like; others become rgb().
function colourOf(number) {
  if (number < 16) return number;
  if (number >= 232) { const grey = 8 + 10 * (number - 232); return `rgb(${grey}, ${grey}, ${grey})`; }
  const cube = number - 16;
  return `rgb(${STEPS[Math.floor(cube / 36)]}, ${STEPS[Math.floor(cube / 6) % 6]}, ${STEPS[cube % 6]})`;
}

const byte = (value) => Math.min(255, Math.max(0, value || 0));

function extended(codes) {
  const kind = codes.shift();
  if (kind === 5) return colourOf(byte(codes.shift()));
  if (kind === 2) return `rgb(${byte(codes.shift())}, ${byte(codes.shift())}, ${byte(codes.shift())})`;
  return null;
}

function restyled(style, parameters) {
  const codes = parameters.split(/[;:]/).map((each) => Number.parseInt(each, 10) || 0);
  let next = { ...style };
  while (codes.length) {
    const code = codes.shift();
    if (code === 0) next = {};
    else if (code in FLAGS) { next[FLAGS[code][0]] = FLAGS[code][1]; if (code === 22) next.dim = false; }
    else if (code === 38) next.ink = extended(codes);
    else if (code === 48) next.paper = extended(codes);
    else if (code === 39) next.ink = null;
    else if (code === 49) next.paper = null;
    else if (code >= 30 && code <= 37) next.ink = code - 30;
    else if (code >= 40 && code <= 47) next.paper = code - 40;
    else if (code >= 90 && code <= 97) next.ink = code - 82;
    else if (code >= 100 && code <= 107) next.paper = code - 92;
  }
  return next;
}

function paint(span, name, colour) {
  if (typeof colour === "number") span.classList.add(`${name}-${colour}`);
  else if (colour) span.style[name === "ink" ? "color" : "backgroundColor"] = colour;
}

function drawn(text, style) {
  const flags = ["bold", "dim", "italic", "underline", "inverse", "struck"].filter((each) => style[each]);
  if (!flags.length && style.ink == null && style.paper == null) return document.createTextNode(text);
  const span = document.createElement("span");
  span.className = flags.map((each) => `t-${each}`).join(" ");
  paint(span, "ink", style.ink);
  paint(span, "paper", style.paper);
  span.textContent = text;
  return span;
}

export function drawAnsi(text) {
  const fragment = document.createDocumentFragment();
  let style = {}, lines = false, at = 0;
  const put = (piece) => {
    if (piece) fragment.append(drawn(lines ? piece.replace(/[a-z`~]/g, (each) => LINES[each] ?? each) : piece, style));
  };
  for (const match of text.matchAll(ESCAPES)) {
    put(text.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === "m") style = restyled(style, match[1]);
    if (match[3]) lines = match[3] === "\x0e";
  }
  put(text.slice(at));
  return fragment;
}
