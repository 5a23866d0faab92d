/*
 * A picture, a patch of colour for each of its patches, and the same numbers as a table. One patch is in the tab order;
 * the arrow keys move between them. Names and numbers reach the page as text, never as HTML.
 */

import { make } from "../browser/make.js";
import { escaped, saveButtons, svgDocument } from "../browser/saving.js";

const SHEET = { row: 32 }; // thumbnails side by side on a sprite sheet
const STRONGEST = 0.85; // of the colour over the picture
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

export default function ({ data, parentElement }) {
  let root = parentElement.querySelector(".heat");
  if (!root) {
    root = make("div", "heat");
    parentElement.append(root);
  }
  const shown = JSON.stringify(data);
  if (root.dataset.shown === shown) return;
  const strength = root.querySelector("input")?.value ?? "70";
  root.dataset.shown = shown;
  root.style.setProperty("--size", `${data.size}px`);
  const said = make("div", "said");
  said.setAttribute("aria-live", "polite");
  root.replaceChildren(frame(data, said), said, legend(data), tools(root, strength, data), asTable(data));
}

function frame(data, said) {
  const element = make("div", "frame lined");
  const picture = make("div", "picture");
  picture.style.backgroundImage = `url("${data.address}")`;
  if (data.cell < 0) picture.style.backgroundSize = "100% 100%";
  else {
    const [column, row] = [data.cell % SHEET.row, Math.floor(data.cell / SHEET.row)];
    picture.style.backgroundSize = `${SHEET.row * 100}% auto`;
    picture.style.backgroundPosition = `${(100 * column) / (SHEET.row - 1)}% 0`;
    placeRow(picture, data.address, row);
  }
  element.append(picture, patches(data, said));
  return element;
}

/** A sheet has as many rows as it needs, so where a row lies in percent is known once the sheet is there. */
function placeRow(picture, address, row) {
  const sheet = new Image();
  sheet.onload = () => {
    const rows = Math.round(sheet.naturalHeight / (sheet.naturalWidth / SHEET.row));
    picture.style.backgroundPositionY = rows > 1 ? `${(100 * row) / (rows - 1)}%` : "0";
  };
  sheet.src = address;
}

function patches({ values, unit, says }, said) {
  const element = make("div", "patches");
  const [rows, columns] = [values.length, values[0]?.length ?? 0];
  element.style.setProperty("--rows", rows);
  element.style.setProperty("--columns", columns);
  element.setAttribute("role", "grid");
  element.setAttribute("aria-label", "What each patch says; arrow keys move between patches");
  const most = Math.max(1e-9, ...values.flat().map(Math.abs));
  const cells = values.map((row, y) =>
    row.map((value, x) => {
      const cell = make("div", value >= 0 ? "patch own" : "patch against");
      cell.style.setProperty("--share", STRONGEST * (Math.abs(value) / most));
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = x || y ? -1 : 0;
      const words = `row ${y + 1}, column ${x + 1}: ${says[value >= 0 ? 0 : 1]}, ${number(value)} ${unit}`;
      cell.setAttribute("aria-label", words);
      cell.addEventListener("pointerenter", () => (said.textContent = words));
      cell.addEventListener("focus", () => (said.textContent = words));
      cell.addEventListener("keydown", (event) => {
        const step = ARROWS[event.key];
        const next = step && cells[y + step[0]]?.[x + step[1]];
        if (!next) return;
        event.preventDefault();
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
      return cell;
    }),
  );
  element.addEventListener("pointerleave", () => (said.textContent = ""));
  for (const row of cells) {
    const line = make("div");
    line.setAttribute("role", "row");
    line.style.display = "contents";
    line.append(...row);
    element.append(line);
  }
  return element;
}

function legend({ says }) {
  const element = make("div", "legend");
  element.append(make("span", "own", says[0]), make("span", "against", says[1]));
  return element;
}

function tools(root, strength, data) {
  const element = make("div", "tools");
  const label = make("label");
  const slider = make("input");
  slider.type = "range";
  slider.min = "0";
  slider.max = "100";
  slider.value = strength;
  const apply = () => root.style.setProperty("--strength", slider.value / 70);
  slider.addEventListener("input", apply);
  apply();
  label.append("Colour ", slider);
  element.append(label, saveButtons(data.file, () => figure(data, slider.value / 70)));
  return element;
}

/** Picture and colours as an SVG that holds the picture itself. */
async function figure({ address, cell, values, says, unit }, strength) {
  const [side, rows, columns] = [420, values.length, values[0].length];
  const [width, height] = [side / columns, side / rows];
  const most = Math.max(1e-9, ...values.flat().map(Math.abs));
  const patches = values.flatMap((row, y) =>
    row.map((value, x) => {
      const share = Math.min(1, (STRONGEST * strength * Math.abs(value)) / most).toFixed(3);
      const words = `<title>${number(value)} ${unit}</title>`;
      return (
        `<rect x="${x * width}" y="${y * height}" width="${width}" height="${height}" ` +
        `fill="${value >= 0 ? "#0072b2" : "#d55e00"}" fill-opacity="${share}" stroke="#fff" stroke-opacity=".35">${words}</rect>`
      );
    }),
  );
  const picture =
    `<image width="${side}" height="${side}" href="${await embedded(address, cell)}" style="image-rendering: pixelated"/>`;
  const legend =
    `<g font-size="14"><rect x="4" y="${side + 10}" width="12" height="12" fill="#0072b2"/>` +
    `<text x="22" y="${side + 20}">${escaped(says[0])}</text>` +
    `<rect x="4" y="${side + 30}" width="12" height="12" fill="#d55e00"/>` +
    `<text x="22" y="${side + 40}">${escaped(says[1])}</text></g>`;
  return svgDocument(side, side + 50, picture + patches.join("") + legend);
}

/** The picture alone, cut out of its sheet, as an address that holds it. */
async function embedded(address, cell) {
  const source = new Image();
  source.src = address;
  await source.decode();
  const side = cell < 0 ? source.naturalWidth : source.naturalWidth / SHEET.row;
  const [x, y] = cell < 0 ? [0, 0] : [(cell % SHEET.row) * side, Math.floor(cell / SHEET.row) * side];
  const canvas = make("canvas");
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(source, x, y, side, side, 0, 0, side, side);
  return canvas.toDataURL("image/png");
}

function asTable({ values, unit }) {
  const element = make("details");
  const title = make("summary");
  title.textContent = `As a table, in ${unit}`;
  const table = make("table");
  const head = table.createTHead().insertRow();
  head.append(make("th"), ...(values[0] ?? []).map((_, x) => heading(x + 1, "col")));
  const body = table.createTBody();
  values.forEach((row, y) => {
    const line = body.insertRow();
    line.append(heading(y + 1, "row"));
    for (const value of row) line.insertCell().textContent = `${value < 0 ? "−" : ""}${number(value)}`;
  });
  element.append(title, table);
  return element;
}

function heading(text, scope) {
  const element = make("th");
  element.scope = scope;
  element.textContent = String(text);
  return element;
}

function number(value) {
  const size = Math.abs(value);
  return size < 0.005 ? "0.00" : size < 10 ? size.toFixed(2) : size.toFixed(1);
}
