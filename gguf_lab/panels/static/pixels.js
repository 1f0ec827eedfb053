/** Pooled weights as pixels: how many to a cell, the end of the colours, the image. */

/** Weights per cell so that a cell is a pixel or a little more. @param {number} scale weights per pixel */
const cellSize = (scale) => (scale <= 1 ? 1 : 2 ** Math.ceil(Math.log2(scale * 1.4)));

/** The end of a colour scale: 99.5 % of the cells lie within. */
function reach(arrays) {
  const sizes = [];
  for (const cells of arrays) {
    const step = Math.max(1, Math.floor(cells.length / 20000));
    for (let i = 0; i < cells.length; i += step) if (Number.isFinite(cells[i])) sizes.push(Math.abs(cells[i]));
  }
  if (!sizes.length) return 0;
  sizes.sort((a, b) => a - b);
  return sizes[Math.floor(0.995 * (sizes.length - 1))] || sizes[sizes.length - 1];
}

/** Cells as an image, one pixel each. */
function image(cells, marks, [rows, columns], limit, colours) {
  const canvas = h("canvas", { width: columns, height: rows });
  const data = new ImageData(columns, rows), out = data.data, { table } = colours;
  for (let i = 0, o = 0; i < cells.length; i++, o += 4) {
    if (marks[i]) out.set(markColour(marks[i], colours), o);
    else {
      const k = 3 * (limit ? 256 + Math.round(256 * clamp(cells[i] / limit, -1, 1)) : 256);
      out[o] = table[k]; out[o + 1] = table[k + 1]; out[o + 2] = table[k + 2];
    }
    out[o + 3] = 255;
  }
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}
