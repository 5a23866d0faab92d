/*
 * Rows are true tasks, columns retrieved ones; a cell with images is a button. Names reach the page as text, never as
 * HTML. Off the diagonal the shade is the share of the largest mistake there is, on it that of the row.
 */

import { make, makeButton } from "../browser/make.js";
import { escaped, saveButtons, svgDocument } from "../browser/saving.js";

const SHADES = { right: "var(--st-gray-color, #8a8f98)", wrong: "var(--st-orange-color, #d55e00)" };
const STRONGEST = 0.75; // a number on it stays readable

export default function ({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector(".confusion");
  if (!root) {
    root = make("div", "confusion");
    parentElement.append(root);
  }
  const [top, left] = [root.scrollTop, root.scrollLeft];
  const focused = root.getRootNode().activeElement?.dataset?.cell;
  root.style.setProperty("--cell", data.matrix.length > 12 ? "30px" : data.matrix.length > 6 ? "36px" : "42px");
  root.replaceChildren(table(data, setTriggerValue), saveButtons("confusion-of-tasks", async () => figure(data)));
  root.scrollTo(left, top);
  if (focused) root.querySelector(`[data-cell="${focused}"]`)?.focus({ preventScroll: true });
}

function table({ matrix, names, chosen }, setTriggerValue) {
  const worst = Math.max(1, ...matrix.flatMap((row, t) => row.filter((_, s) => s !== t)));
  const element = make("table");
  const title = make("caption", "", "Rows: true task. Columns: task it was sent to. Choose a cell to see its images.");
  element.append(title, head(names), make("tbody"));
  matrix.forEach((row, task) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    const line = make("tr");
    line.append(heading(task, names[task], true));
    row.forEach((count, sent) => {
      const right = sent === task;
      const cell = make("td", count ? "cell" : "cell none");
      cell.style.setProperty("--shade", right ? SHADES.right : SHADES.wrong);
      cell.style.setProperty("--share", count ? (right ? 0.5 * count / total : 0.15 + (STRONGEST - 0.15) * count / worst) : 0);
      cell.append(count ? button(task, sent, count, names, chosen, setTriggerValue) : "·");
      line.append(cell);
    });
    line.append(make("td", "found", total ? percent(row[task] / total) : "–"));
    element.tBodies[0].append(line);
  });
  return element;
}

function head(names) {
  const line = make("tr");
  line.append(make("td"), ...names.map((name, task) => heading(task, name, false)));
  const found = make("th", "", "found");
  found.title = "Share of a task's images that were sent to it";
  line.append(found);
  const element = make("thead");
  element.append(line);
  return element;
}

function heading(task, name, full) {
  const element = make("th");
  element.scope = full ? "row" : "col";
  element.title = name;
  element.append(make("b", "", String(task + 1)), full ? ` · ${name}` : "");
  return element;
}

function button(task, sent, count, names, chosen, setTriggerValue) {
  const element = makeButton();
  element.dataset.cell = `${task}-${sent}`;
  element.textContent = String(count);
  element.title = `${count} of “${names[task]}” sent to “${names[sent]}”`;
  element.setAttribute("aria-label", element.title);
  element.setAttribute("aria-pressed", String(chosen !== null && chosen[0] === task && chosen[1] === sent));
  element.addEventListener("click", () => setTriggerValue("pick", [task, sent]));
  return element;
}

/** The matrix as an SVG, with every name. */
function figure({ matrix, names }) {
  const [cell, margin] = [44, 20 + 7 * Math.min(34, Math.max(...names.map((name) => name.length + 4)))];
  const worst = Math.max(1, ...matrix.flatMap((row, t) => row.filter((_, s) => s !== t)));
  const parts = names.map((name, task) => {
    const middle = 30 + (task + 0.5) * cell;
    const across = margin + (task + 0.5) * cell;
    return (
      `<text x="${margin - 8}" y="${middle}" text-anchor="end" dominant-baseline="central">${task + 1} · ${escaped(name.slice(0, 30))}</text>` +
      `<text x="${across}" y="20" text-anchor="middle">${task + 1}</text>`
    );
  });
  matrix.forEach((row, task) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    row.forEach((count, sent) => {
      if (!count) return;
      const [x, y] = [margin + sent * cell, 30 + task * cell];
      const [colour, share] = sent === task ? ["#8a8f98", 0.5 * (count / total)] : ["#d55e00", 0.15 + 0.6 * (count / worst)];
      parts.push(
        `<rect x="${x}" y="${y}" width="${cell - 2}" height="${cell - 2}" rx="4" fill="${colour}" fill-opacity="${share}"/>` +
          `<text x="${x + cell / 2 - 1}" y="${y + cell / 2 - 1}" text-anchor="middle" dominant-baseline="central">${count}</text>`,
      );
    });
  });
  const inside = `<g font-size="14" fill="#222">${parts.join("")}</g>`;
  return svgDocument(margin + names.length * cell + 10, 40 + names.length * cell, inside);
}

function percent(share) {
  return share < 1 && share > 0.995 ? "99%" : `${Math.round(100 * share)}%`;
}
