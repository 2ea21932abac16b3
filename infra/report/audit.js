"use strict";
// Without this script the report can be read as well: a cell leads to its connections in the appendix.
(function () {
  const root = document.documentElement;
  const dialog = document.getElementById("cell");
  const titles = {ja: document.title, en: document.querySelector("meta[name=title-en]").content};

  function speak(language) {
    root.lang = language;
    document.title = titles[language];
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === language));
    }
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => speak(button.dataset.language));
  }
  document.getElementById("print").addEventListener("click", () => window.print());

  function copies(ids, prefix) {
    return ids.split(" ").filter(Boolean).map((id) => {
      const copy = document.getElementById(prefix + id).cloneNode(true);
      copy.removeAttribute("id");
      return copy;
    });
  }
  function fill(part, rows) {
    dialog.querySelector(part + " tbody").replaceChildren(...rows);
    dialog.querySelector(part).hidden = rows.length === 0;
  }
  for (const link of document.querySelectorAll("a.cell")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.querySelector("h2").replaceChildren(
        ...[...link.querySelector(".name").childNodes].map((node) => node.cloneNode(true)));
      fill(".found", copies(link.dataset.violations, "v"));
      fill(".passing", copies(link.dataset.connections, "c"));
      dialog.showModal();
    });
  }
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // On paper nothing can be opened.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
})();
