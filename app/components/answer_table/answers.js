/*
 * One row per image. The picture in it is the button for the keyboard; a click anywhere in the row does the same. Names
 * reach the page as text, never as HTML.
 */

import { make, makeButton } from "../browser/make.js";
import { showThumbnail } from "../browser/thumbnail.js";

const WIDE = 60; // pixels of a thumbnail
const HEADINGS = ["Image", "True task", "Sent to", "Class", "Answer", "With task given"];

export default function ({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector(".answers");
  if (!root) {
    root = make("div", "answers");
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", "Images and answers");
    parentElement.append(root);
  }
  root.style.setProperty("--height", `${data.height}px`);
  const shown = JSON.stringify([data.sheets, data.rows, data.tasks, data.classes]);
  if (root.dataset.shown !== shown) {
    root.dataset.shown = shown;
    root.replaceChildren(table(data));
    root.scrollTop = 0;
  }
  for (const row of root.querySelectorAll("tbody tr")) {
    row.onclick = () => setTriggerValue("pick", Number(row.dataset.image));
    choose(row, Number(row.dataset.image) === data.chosen, root);
  }
}

function choose(row, chosen, root) {
  row.classList.toggle("chosen", chosen);
  if (!chosen) return row.removeAttribute("aria-current");
  row.setAttribute("aria-current", "true");
  const head = root.querySelector("thead").offsetHeight;
  const above = row.offsetTop - head - root.scrollTop;
  const below = row.offsetTop + row.offsetHeight - root.scrollTop - root.clientHeight;
  if (above < 0) root.scrollTop += above;
  else if (below > 0) root.scrollTop += below;
}

function table({ sheets, tasks, classes, rows }) {
  const element = make("table");
  const head = element.createTHead().insertRow();
  for (const text of HEADINGS) {
    const cell = make("th", "", text);
    cell.scope = "col";
    head.append(cell);
  }
  const body = element.createTBody();
  rows.image.forEach((image, i) => {
    const [task, retrieved, label] = [rows.task[i], rows.retrieved[i], rows.label[i]];
    const row = body.insertRow();
    row.dataset.image = image;
    row.insertCell().append(opener(image, classes[label], sheets, rows.number[i]));
    write(row, tasks[task]);
    write(row, tasks[retrieved], retrieved === task);
    write(row, classes[label]);
    write(row, classes[rows.predicted[i]], rows.predicted[i] === label);
    write(row, classes[rows.given[i]], rows.given[i] === label);
  });
  return element;
}

function write(row, text, right = null) {
  const cell = row.insertCell();
  cell.textContent = cell.title = text ?? "–";
  if (right !== null && text !== undefined) cell.className = right ? "right" : "wrong";
}

function opener(image, name, sheets, number) {
  const element = makeButton();
  element.setAttribute("aria-label", `Explain image ${image}, ${name}`);
  const picture = make("span", "picture");
  showThumbnail(picture, sheets, number, WIDE);
  element.append(picture);
  return element;
}
