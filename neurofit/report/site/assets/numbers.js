// Numbers of records: bins, windows, medians, and how they are written.
(function () {
  "use strict";
  const finite = (value) => typeof value === "number" && Number.isFinite(value);

  /** Write a correlation as the tables do. */
  function written(value, digits = 3) {
    if (!finite(value)) return "–";
    const text = Math.abs(value).toFixed(digits).replace(/^0\./, ".");
    return Number(value.toFixed(digits)) < 0 ? "−" + text : text;
  }

  function mean(values) {
    const known = values.filter(finite);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  }

  /** Return a quantile of the finite values, interpolated. */
  function quantile(values, fraction) {
    const known = values.filter(finite).sort((a, b) => a - b);
    if (!known.length) return null;
    const place = (known.length - 1) * fraction;
    const low = Math.floor(place);
    return known[low] + (known[Math.min(low + 1, known.length - 1)] - known[low]) * (place - low);
  }

  const table = (record) => (Array.isArray(record.time_bins) ? record.time_bins : []);
  const middle = (row) => (row.time_bin_start + row.time_bin_end) / 2;
  const span = (row) => row.time_bin_start + "–" + row.time_bin_end + " ms";
  const column = (record, name) => table(record).map((row) => (finite(row[name]) ? row[name] : null));

  /** Return the indices of the bins in the headline's window. */
  function windowBins(record) {
    const { window_start_ms: start, window_end_ms: end } = record.score;
    return table(record).flatMap((row, i) => (row.time_bin_start >= start && row.time_bin_end <= end ? [i] : []));
  }

  /** Return, for every neuroid, the mean of a quantity over bins; null where no bin has a value. */
  function overBins(record, name, bins) {
    const rows = (record.neuroids || {})[name];
    return Array.isArray(rows) ? rows.map((row) => mean(bins.map((bin) => row[bin]))) : [];
  }

  /** Return the quartiles over neuroids, per bin, of a function of the internal consistency. */
  function quartiles(record, transform) {
    const rows = (record.neuroids || {}).internal_consistency;
    if (!Array.isArray(rows) || !rows.length) return null;
    const parts = table(record).map((_, bin) => rows.map((row) => row[bin]));
    return [0.25, 0.75].map((fraction) => parts.map((values) => {
      const found = quantile(values, fraction);
      return found === null ? null : transform(found);
    }));
  }

  const corrects = (record) => record.score.formula !== "raw";
  const byNeuroid = (record, name) => Array.isArray((record.neuroids || {})[name]);
  const isPredictivity = (record) => (record.score.metric || "predictivity") === "predictivity";

  /** Return what an axis of values is called. */
  function valueTitle(record, kind) {
    const corrected = kind === "corrected" && corrects(record);
    if (!isPredictivity(record)) return (corrected ? "noise-corrected " : "") + neurofit.plain(record.score.metric, 30).replace("rsa", "RSA") + " agreement";
    return corrected ? "noise-corrected r" : "raw r";
  }

  neurofit.numbers = { finite, written, mean, quantile, table, middle, span, column, windowBins, overBins, quartiles,
    corrects, byNeuroid, isPredictivity, valueTitle };
})();
