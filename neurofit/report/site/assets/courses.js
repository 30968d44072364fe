// Predictivity over time, of several runs; a benchmark of one bin has a row for each run instead.
(function () {
  "use strict";
  const { draw, empty, look, literal, faint, theme } = neurofit.charts;
  const { table, middle, span, column, windowBins, quartiles, corrects, valueTitle, written, finite, isPredictivity }
    = neurofit.numbers;
  const AXIS = "time from stimulus onset (ms)";
  const root = (value) => (value > 0 ? Math.sqrt(value) : null);

  /** Return the column that a record's curve is drawn from. */
  const named = (kind, record) => (kind === "corrected" && corrects(record) ? "corrected" : "raw");

  /**
   * Draw runs over time.
   *
   * runs: [{ label, n, record }], n being the look of its curve; options: { kind, bands, ceiling, onMs, named },
   * named for a legend of the runs, where no boxes are one.
   */
  function course(id, runs, options) {
    if (!runs.length) return empty(id, "No model is chosen.");
    if (!runs.some((run) => table(run.record).length)) return empty(id, "These records hold no time bins.");
    const single = runs.every((run) => table(run.record).length === 1);
    return draw(id, () => (single ? rows(runs, options) : curves(runs, options)));
  }

  function interval(record, kind) {
    return named(kind, record) === "corrected" || !corrects(record) ? [column(record, "low"), column(record, "high")] : null;
  }

  function curves(runs, options) {
    const first = runs[0].record;
    const traces = [], legend = options.named ? runs.map(({ n, label }) => ({ n, text: label })) : [];
    if (options.ceiling) legend.push(...ceiling(first, options.kind, traces));
    for (const { record, n } of runs) {
      const ends = options.bands && interval(record, options.kind);
      if (ends) traces.push(...band(table(record).map(middle), ends, faint(look(n).colour, 0.16)));
    }
    for (const { label, n, record } of runs) {
      const { colour, symbol, dash } = look(n);
      const at = table(record);
      const ends = interval(record, options.kind);
      traces.push({
        type: "scatter", mode: "lines+markers", name: literal(label, 40), x: at.map(middle),
        y: column(record, named(options.kind, record)), line: { color: colour, width: 2, dash },
        marker: { symbol, size: 6, color: colour }, connectgaps: false,
        customdata: at.map((row, i) => [literal(label, 40), span(row), ends && finite(ends[0][i]) ? ` [${written(ends[0][i])}, ${written(ends[1][i])}]` : "", row.silent ? "<br>silent bin: 0 by definition" : ""]),
        // names come as data: in the template, Plotly would read one that holds %{...}
        hovertemplate: "<b>%{customdata[0]}</b><br>%{customdata[1]}: %{y:.3f}%{customdata[2]}%{customdata[3]}<extra></extra>",
      });
    }
    return {
      traces, legend, words: said(runs, options.kind), ...listed(runs, options.kind),
      x: { title: AXIS }, y: { title: valueTitle(first, options.kind) },
      more: { shapes: [zero(), ...onset(options.onMs)], annotations: onsetWords(options.onMs) },
    };
  }

  function band(x, [low, high], colour) {
    const shared = { type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, x };
    // pieces without a value split the band: Plotly would fill across them
    const pieces = [];
    let piece = [];
    x.forEach(function (_, i) {
      if (finite(low[i]) && finite(high[i])) piece.push(i);
      else if (piece.length) { pieces.push(piece); piece = []; }
    });
    if (piece.length) pieces.push(piece);
    return pieces.flatMap((at) => [
      { ...shared, x: at.map((i) => x[i]), y: at.map((i) => low[i]) },
      { ...shared, x: at.map((i) => x[i]), y: at.map((i) => high[i]), fill: "tonexty", fillcolor: colour },
    ]);
  }

  /** Add the ceiling, which the recording sets, and return its entries of the legend. */
  function ceiling(record, kind, traces) {
    const x = table(record).map(middle);
    const ofR = named(kind, record) === "raw";
    const line = column(record, ofR ? "ceiling_of_r" : "internal_consistency");
    if (!line.some(finite)) return [];
    const ends = quartiles(record, ofR ? root : (value) => value);
    if (ends) traces.push(...band(x, ends, faint(theme("quiet"), 0.13)));
    const name = ofR ? "ceiling of r" : "internal consistency";
    traces.push({
      type: "scatter", mode: "lines", name, x, y: line, line: { color: theme("quiet"), width: 1.6, dash: ofR ? "dash" : "dot" },
      hovertemplate: `${name} %{y:.3f}<extra></extra>`,
    });
    const over = isPredictivity(record) ? "median" : "the population's";
    return [{ text: `${name} (${over}${ends ? "; band: middle half of the neuroids" : ""})`, style: ofR ? "dashed" : "dotted" }];
  }

  const zero = () => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { color: theme("edge"), width: 1 }, layer: "below" });

  /** Return a bar along the top for as long as the image is on. */
  function onset(onMs) {
    if (!finite(onMs) || onMs <= 0) return [];
    return [{ type: "rect", x0: 0, x1: onMs, yref: "paper", y0: 0.985, y1: 1, fillcolor: theme("quiet"), line: { width: 0 } }];
  }

  const onsetWords = (onMs) => (!finite(onMs) || onMs <= 0 ? [] : [{ text: "image on", x: 0, xanchor: "left", xshift: 3, y: 1,
    yref: "paper", yanchor: "top", yshift: -8, showarrow: false, bgcolor: theme("surface"), borderpad: 1, font: { size: 11, color: theme("quiet") } }]);

  function rows(runs, options) {
    const first = runs[0].record;
    const place = runs.map((_, i) => runs.length - 1 - i);
    const traces = [], legend = [];
    const shapes = [];
    if (options.ceiling) {
      const ofR = named(options.kind, first) === "raw";
      const value = table(first)[0][ofR ? "ceiling_of_r" : "internal_consistency"];
      if (finite(value)) {
        shapes.push({ type: "line", x0: value, x1: value, yref: "paper", y0: 0, y1: 1, line: { color: theme("quiet"), width: 1.6, dash: ofR ? "dash" : "dot" } });
        legend.push({ text: `${ofR ? "ceiling of r" : "internal consistency"} ${written(value)}`, style: ofR ? "dashed" : "dotted" });
      }
    }
    runs.forEach(function ({ label, n, record }, i) {
      const { colour, symbol } = look(n);
      const value = column(record, named(options.kind, record))[0];
      const ends = options.bands && interval(record, options.kind);
      const has = ends && finite(ends[0][0]) && finite(ends[1][0]) && finite(value);
      traces.push({
        type: "scatter", mode: "markers", name: literal(label, 40), x: [value], y: [place[i]], marker: { symbol, size: 10, color: colour },
        error_x: has ? { type: "data", symmetric: false, array: [ends[1][0] - value], arrayminus: [value - ends[0][0]], color: colour, thickness: 2, width: 5 } : undefined,
        text: [literal(label, 40)],
        hovertemplate: `<b>%{text}</b><br>%{x:.3f}${has ? ` [${written(ends[0][0])}, ${written(ends[1][0])}]` : ""}<extra></extra>`,
      });
    });
    const narrow = document.documentElement.clientWidth < 560;
    return {
      traces, legend, words: said(runs, options.kind), ...listed(runs, options.kind), height: 110 + 34 * runs.length,
      x: { title: valueTitle(first, options.kind), more: { rangemode: "tozero" } },
      y: { title: "", more: { tickvals: place, ticktext: runs.map((run) => literal(run.label, narrow ? 16 : 32)), range: [-0.6, runs.length - 0.4], ticks: "", showgrid: false } },
      more: { shapes },
    };
  }

  /** Say what the curves show. */
  function said(runs, kind) {
    const words = runs.slice(0, 4).map(function ({ label, record }) {
      const values = column(record, named(kind, record));
      const best = values.reduce((best, value, i) => (finite(value) && (best < 0 || value > values[best]) ? i : best), -1);
      if (best < 0) return `${label}: no value in any bin`;
      if (values.length === 1) return `${label}: ${written(values[0])}`;
      const at = windowBins(record);
      const window = at.length ? `, ${written(neurofit.numbers.mean(at.map((i) => values[i])))} in the window ${record.score.window_start_ms}–${record.score.window_end_ms} ms` : "";
      return `${label}: greatest ${written(values[best])} at ${span(table(record)[best])}${window}`;
    });
    const more = runs.length > 4 ? `; and ${runs.length - 4} more` : "";
    return words.join("; ") + more + ".";
  }

  function listed(runs, kind) {
    const starts = new Map();
    for (const { record } of runs) for (const row of table(record)) starts.set(span(row), row.time_bin_start);
    const bins = [...starts.keys()].sort((a, b) => starts.get(a) - starts.get(b));
    const columns = runs.map(({ record }) => {
      const values = column(record, named(kind, record));
      return new Map(table(record).map((row, i) => [span(row), values[i]]));
    });
    return { head: ["time bin", ...runs.map((run) => run.label)], rows: bins.map((bin) => [bin, ...columns.map((each) => each.get(bin) ?? null)]) };
  }

  /** Draw the difference of two runs over time. */
  function difference(id, a, b, kind) {
    const other = new Map(table(b.record).map((row, i) => [span(row), column(b.record, named(kind, b.record))[i]]));
    const values = column(a.record, named(kind, a.record));
    const at = table(a.record).map((row, i) => ({ row, value: finite(values[i]) && finite(other.get(span(row))) ? values[i] - other.get(span(row)) : null }))
      .filter(({ row }) => other.has(span(row)));
    const known = at.filter(({ value }) => finite(value));
    if (at.length < 2 || !known.length) return empty(id, known.length ? `The difference in the one bin is ${written(known[0].value)}.` : "The two share no bin with a value.");
    return draw(id, function () {
      const above = known.filter(({ value }) => value > 0).length;
      const largest = known.reduce((best, each) => (Math.abs(each.value) > Math.abs(best.value) ? each : best));
      return {
        traces: [{ type: "bar", name: "A − B", x: at.map(({ row }) => middle(row)), y: at.map(({ value }) => value),
          width: at.map(({ row }) => 0.8 * (row.time_bin_end - row.time_bin_start)),
          marker: { color: at.map(({ value }) => look(value > 0 ? a.n : b.n).colour) },
          customdata: at.map(({ row }) => span(row)), hovertemplate: "%{customdata}: %{y:.3f}<extra></extra>" }],
        x: { title: AXIS }, y: { title: "A − B, " + valueTitle(a.record, kind) },
        more: { shapes: [zero()], bargap: 0 },
        legend: [{ n: a.n, text: "A is above" }, { n: b.n, text: "B is above" }],
        words: `A is above B in ${above} of ${known.length} bins; the largest difference is ${written(largest.value)} at ${span(largest.row)}.`,
        head: ["time bin", "A − B"], rows: at.map(({ row, value }) => [span(row), value]),
      };
    });
  }

  neurofit.courses = { course, difference };
})();
