/* Two buttons that save the figure in hand. */

import { saveButtons } from "../browser/saving.js";

/**
 * @param {Object} call Streamlit's
 * @param {{svg: string, file: string}} call.data
 * @param {HTMLElement} call.parentElement
 */
export default function ({ data, parentElement }) {
  const [, width, height] = data.svg.match(/ width="(\d+)" height="(\d+)"/);
  const buttons = saveButtons(data.file, async () => ({ svg: data.svg, width: Number(width), height: Number(height) }));
  parentElement.append(buttons);
  return () => buttons.remove();
}
