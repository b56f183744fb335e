// Runs before the page is painted, so that a chosen theme does not flash.
(() => {
  const KEY = "voidlux-theme";
  const root = document.documentElement;
  const read = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const write = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* not kept */ } };
  const chosen = read();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    const theme = isDark() ? "light" : "dark";
    root.dataset.theme = theme;
    write(theme);
  });
})();
