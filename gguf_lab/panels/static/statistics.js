/** How the statistics of a tensor are written: in full, and in a narrow cell. */
const STATISTICS = {
  percent, figure: aligned,
  decibel: (v) => `${fixed(v, 1)} dB`,
  cosine: (v) => (v > 0.999 && v < 1 ? `1 ${MINUS} ${aligned(1 - v)}` : fixed(v, 6)),
};

/** At most five signs of a number that is not negative. */
const twoDigits = (x) => (x >= 99999.5 ? figure(x) : x >= 99.5 ? x.toFixed(0) : x >= 0.01 || x === 0 ? x.toPrecision(2) : "<.01");

/** The power of ten that cells of a form share, so that their figures are short. @param {number} high */
const powerOf = (form, high) => (form === "figure" && high > 0 && (high < 0.1 || high >= 1000) ? Math.floor(Math.log10(high)) : 0);

/** A figure for a cell: as many digits as tell cells apart. @param {number} power of ten, see powerOf */
const STATISTICS_IN_CELLS = {
  percent: (v) => twoDigits(100 * v),
  figure: (v, power) => twoDigits(v / 10 ** power),
  decibel: (v) => fixed(v, 1),
  // What would be rounded to 1 is not 1.
  cosine: (v) => (v < 1 && v >= 0.99995 ? ">.9999" : v > 0.9 && v < 1 ? v.toFixed(4).slice(1) : fixed(v, 2)),
};
