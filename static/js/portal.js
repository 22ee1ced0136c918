/* Names for the stock admin's controls that have none: the two halves of a date and time, the boxes that
   select2 puts in place of a select whenever it does so, and the icons of the two-column chooser. Nothing works differently without it. */
"use strict";

const wordsOf = (element) => element?.textContent.trim().replace(/:$/, "") ?? "";

for (const pair of document.querySelectorAll("p.datetime")) {
  const label = wordsOf(pair.closest(".form-row, td")?.querySelector("label, legend"));
  for (const [selector, part] of [[".vDateField", "date"], [".vTimeField", "time"]]) {
    pair.querySelector(selector)?.setAttribute("aria-label", `${label} ${part}`.trim());
  }
}

const nameOf = (select) => {
  const column = select.closest("td")?.className.match(/field-(\S+)/)?.[1].replaceAll("_", " ");
  return wordsOf(document.querySelector(`label[for="${CSS.escape(select.id)}"]`)) || column || "Choose";
};

const nameSelect2 = () => {
  for (const box of document.querySelectorAll(".select2-container:not([data-named])")) {
    const select = box.previousElementSibling;
    if (!select?.matches("select")) {
      box.querySelectorAll(".select2-search__field").forEach((field) => field.setAttribute("aria-label", "Search"));
      continue;
    }
    box.dataset.named = "yes";
    const name = nameOf(select);
    for (const part of box.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox], input")) {
      part.setAttribute("aria-label", name);
      part.removeAttribute("aria-labelledby");
    }
  }
};

const nameAll = () => {
  nameSelect2();
  for (const box of document.querySelectorAll("[role=combobox][aria-owns]:not([aria-controls])")) {
    box.setAttribute("aria-controls", box.getAttribute("aria-owns"));
  }
  for (const icon of document.querySelectorAll(".selector .help-tooltip:not([role])")) {
    icon.setAttribute("role", "img");
  }
};

if (document.querySelector("select.admin-autocomplete, select.selectfilter")) {
  nameAll();
  new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
}
