/*
 * A grid of thumbnails: each is a window on a sprite sheet. Names and captions reach the page as text, never as HTML.
 *
 * A link is a real one (it can be copied, and opened in a new tab); a plain click is answered by Streamlit without
 * loading the app again.
 */

const ROW = 32; // thumbnails side by side on a sheet

export default function ({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector(".thumbnails");
  if (!root) {
    root = document.createElement("div");
    root.className = "thumbnails";
    parentElement.append(root);
  }
  root.style.setProperty("--size", `${data.size}px`);
  root.style.setProperty("--columns", data.columns);
  root.replaceChildren(...data.items.map((item, index) => thumbnail(item, index, data, setTriggerValue)));
}

function thumbnail(item, index, { sheets, size }, setTriggerValue) {
  const element = document.createElement(item.link ? "a" : "span");
  element.className = "item";
  element.title = item.title;
  element.append(picture(item, sheets, size));
  if (item.caption) {
    const caption = document.createElement("span");
    caption.className = "caption";
    caption.textContent = item.caption;
    element.append(caption);
  }
  if (item.link) {
    element.href = item.link;
    element.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      setTriggerValue("follow", index);
    });
  }
  return element;
}

function picture({ sheet, cell, title }, sheets, size) {
  const element = document.createElement("span");
  element.className = "picture";
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", title);
  element.style.backgroundImage = `url("${sheets.replace("{sheet}", String(sheet).padStart(3, "0"))}")`;
  element.style.backgroundSize = `${ROW * size}px auto`;
  element.style.backgroundPosition = `${-(cell % ROW) * size}px ${-Math.floor(cell / ROW) * size}px`;
  return element;
}
