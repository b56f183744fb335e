// Keeps ages and countdowns current; the words are those of the server's templates.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

function age(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

function countdown(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
  return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
}

export function keepTimes() {
  setInterval(() => {
    const now = Date.now();
    for (const each of document.querySelectorAll("time[data-time]")) {
      const seconds = Math.max(0, Math.round((each.dataset.time === "ago" ? 1 : -1) * (now - Date.parse(each.dateTime)) / 1000));
      const text = each.dataset.time === "ago" ? age(seconds) : countdown(seconds);
      if (each.textContent !== text) each.textContent = text;
    }
  }, 1000);
}
