/*
 * Two buttons that save a figure: as SVG, which a component writes as text, and as PNG, which the browser draws from it.
 */

const SCALE = 2; // pixels of the PNG for each of the figure's own

/**
 * @param {string} file name of the saved file, without its ending
 * @param {() => Promise<{svg: string, width: number, height: number}>} figure
 * @returns {HTMLElement}
 */
export function saveButtons(file, figure) {
  const bar = document.createElement("span");
  bar.className = "saving";
  bar.style.cssText = "display: inline-flex; gap: 6px; flex-wrap: wrap;";
  for (const [kind, write] of [["PNG", asPng], ["SVG", asSvg]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.setAttribute("aria-label", `Save the figure as ${kind}`);
    button.addEventListener("click", async () => hand(`${file}.${kind.toLowerCase()}`, await write(await figure())));
    bar.append(button);
  }
  return bar;
}

/** Text as it may stand in an SVG. @param {unknown} text @returns {string} */
export function escaped(text) {
  return String(text).replace(/[&<>"]/g, (mark) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[mark]);
}

/** An SVG document around some elements. @param {number} width @param {number} height @param {string} inside */
export function svgDocument(width, height, inside) {
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>${inside}</svg>`;
  return { svg, width, height };
}

async function asSvg({ svg }) {
  return new Blob([svg], { type: "image/svg+xml" });
}

async function asPng({ svg, width, height }) {
  const picture = new Image();
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function hand(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
