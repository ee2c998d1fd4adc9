// Sets the chosen theme before anything is drawn. Without a choice the system's holds.
try {
  const theme = localStorage.getItem('lepus.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme it is.
}
