// Before anything is drawn: the theme that was chosen, so that a page of the other one never flashes up. Nothing is seen
// until the words are there, which need room.
document.documentElement.dataset.waits = "";
try {
  const theme = localStorage.getItem("naru.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing: its own theme.
}
// Where a module never came what there is is shown.
addEventListener("load", () => delete document.documentElement.dataset.waits);
