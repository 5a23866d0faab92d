/* New elements. Texts that come with a run reach the page as text, never as HTML. */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} name of the class
 * @param {string} text
 */
export function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

/** A button that sends no form. @param {string} name of the class */
export function makeButton(name = "") {
  const button = make("button", name);
  button.type = "button";
  return button;
}
