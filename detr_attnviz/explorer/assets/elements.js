"use strict";

/** Making and finding elements; names and numbers go in as text and attributes, never as markup. */
attnviz.elements = (() => {
  const byId = (id) => document.getElementById(id);

  /** An element with these attributes (null ones left out) and children: elements or text. */
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  };

  /** Buttons of which one is pressed: [[value, text, hint]…]; `choose` hears of the value. */
  const choices = (holder, options, choose) => {
    const name = JSON.stringify(options);
    if (holder.dataset.options === name) return;
    holder.dataset.options = name;
    holder.replaceChildren(
      ...options.map(([value, text, hint]) =>
        make(
          "button",
          { type: "button", "data-value": value, title: hint ?? null, onclick: () => choose(value) },
          text,
        ),
      ),
    );
  };

  /** Marks the button whose value is chosen. */
  const press = (holder, value) => {
    for (const button of holder.children)
      button.setAttribute("aria-pressed", String(button.dataset.value === String(value)));
  };

  /** Sets text only where it differs, so that nothing is laid out again for nothing. */
  const say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  return { byId, make, choices, press, say };
})();
