// Before anything is drawn: the theme that was chosen, so that a page of the other one never flashes up.
try {
  const theme = localStorage.getItem("naru.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing: its own theme.
}
