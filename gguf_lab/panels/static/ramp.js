/** One scale of colours for errors, for all panels that show errors as colours. */
const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];

/** viridis at t in 0..1: red, green, blue. @param {number} t */
function viridis(t) {
  const x = clamp(t, 0, 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(x), VIRIDIS.length - 2);
  const part = (k, at) => parseInt(VIRIDIS[k].slice(at, at + 2), 16);
  const mix = (at) => Math.round(part(i, at) + (x - i) * (part(i + 1, at) - part(i, at)));
  return [mix(0), mix(2), mix(4)];
}

/** From 0, the best, to 1, the worst: the larger the error, the more it stands out from the background. */
const inLight = (t) => 0.86 - 0.86 * t, inDark = (t) => 0.28 + 0.72 * t;
const errorColour = (t) => `light-dark(rgb(${viridis(inLight(t))}), rgb(${viridis(inDark(t))}))`;
/** The colour of text on it. */
const errorInk = (t) => `light-dark(${inkOn(viridis(inLight(t)))}, ${inkOn(viridis(inDark(t)))})`;

/**
 * The scale of some errors: its ends are the best and the worst of them, and `place` says where
 * between 0 and 1 a value is. @param {number[]} values @param {{ratio: boolean, low_is_bad?: boolean}} how
 *   ratio: equal factors are equal distances
 */
function errorScale(values, { ratio, low_is_bad = false }) {
  const of = low_is_bad ? (v) => -v : ratio ? Math.log : (v) => v;
  const known = values.filter((v) => Number.isFinite(v) && (!ratio || v > 0)).sort((a, b) => of(a) - of(b));
  const best = known[0], worst = known.at(-1);
  const place = (v) => (!known.length || of(v) >= of(worst) ? 1 : of(v) <= of(best) ? 0 : (of(v) - of(best)) / (of(worst) - of(best)));
  return { best, worst, known: known.length > 0, place };
}

/** The ends of a scale in words, and its colours between them. @param {string} best @param {string} worst */
function errorLegend(best, worst) {
  const colours = [0, 0.25, 0.5, 0.75, 1].map(errorColour).join(", ");
  return [h("span", {}, best), h("span", { class: "gl-ramp", "aria-hidden": "true", style: { background: `linear-gradient(90deg, ${colours})` } }), h("span", {}, `${worst} (worst)`)];
}
