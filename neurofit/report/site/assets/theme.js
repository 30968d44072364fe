// Light or dark, before anything is drawn: what was chosen here, else what the system asks for.
(function () {
  "use strict";
  const html = document.documentElement;
  html.classList.add("js");
  const KEY = "neurofit-theme";

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden, above all for pages opened from disk
    }
  }

  function isDark() {
    const chosen = html.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  const before = remembered();
  if (before === "dark" || before === "light") html.dataset.theme = before;

  document.addEventListener("DOMContentLoaded", function () {
    const button = document.getElementById("theme");
    const changed = function () {
      button.setAttribute("aria-pressed", String(isDark()));
      document.dispatchEvent(new CustomEvent("neurofit:theme"));
    };
    button.hidden = false;
    button.setAttribute("aria-pressed", String(isDark()));
    button.addEventListener("click", function () {
      html.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem(KEY, html.dataset.theme);
      } catch {
        // it then lasts as long as the page
      }
      changed();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  });
})();
