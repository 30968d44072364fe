// Neuroids one by one.
(function () {
  "use strict";
  const { element, plain } = neurofit;
  const { draw, empty, look, literal, theme, faint } = neurofit.charts;
  const { table, span, windowBins, overBins, corrects, byNeuroid, finite, written, quantile } = neurofit.numbers;
  const NONE = "This record holds no values of single neuroids (its metric compares whole populations, or it is older than version 2).";

  const named = (kind, record) => (kind === "corrected" && corrects(record) && byNeuroid(record, "corrected") ? "corrected" : "raw");
  const called = (name) => (name === "corrected" ? "noise-corrected r" : "raw r");

  /** Offer the window's mean and every bin. */
  function binOptions(select, record) {
    const before = select.value;
    const { window_start_ms: start, window_end_ms: end } = record.score;
    const bins = table(record);
    const options = bins.map((row, i) => element("option", { value: String(i) }, span(row)));
    if (bins.length > 1) options.unshift(element("option", { value: "window" }, `mean of the window, ${start}–${end} ms`));
    select.replaceChildren(...options);
    if ([...select.options].some((option) => option.value === before)) select.value = before;
  }

  const chosenBins = (select, record) => (select.value === "window" ? windowBins(record) : [Number(select.value)]);

  function points(names, x, y, style, template) {
    const at = names.flatMap((_, i) => (finite(x[i]) && finite(y[i]) ? [i] : []));
    const crowded = at.length > 400;
    return { at, trace: {
      type: "scatter", mode: "markers", x: at.map((i) => x[i]), y: at.map((i) => y[i]), text: at.map((i) => literal(names[i])),
      marker: { symbol: style.symbol, size: crowded ? 4 : 7, color: faint(style.colour, 0.55), line: { color: style.colour, width: crowded ? 0 : 1 } },
      hovertemplate: template,
    } };
  }

  /** Draw the neuroids of a run against their internal consistency. */
  function consistency(id, run, kind, select) {
    const { record, n } = run;
    if (!byNeuroid(record, "raw")) return empty(id, NONE);
    const bins = chosenBins(select, record);
    const name = named(kind, record);
    const [x, y] = [overBins(record, "internal_consistency", bins), overBins(record, name, bins)];
    const names = record.neuroids.neuroid_id;
    return draw(id, function () {
      const { at, trace } = points(names, x, y, look(n), "<b>%{text}</b><br>consistency %{x:.3f}<br>r %{y:.3f}<extra></extra>");
      if (!at.length) return { traces: [], words: "No neuroid has a value here." };
      const traces = [{ ...trace, name: literal(run.label, 40) }], legend = [];
      if (name === "raw") {
        const curve = Array.from({ length: 41 }, (_, i) => i / 40);
        traces.unshift({ type: "scatter", mode: "lines", name: "ceiling of r", x: curve, y: curve.map(Math.sqrt), hoverinfo: "skip", line: { color: theme("quiet"), dash: "dash", width: 1.4 } });
        legend.push({ text: "ceiling of r", style: "dashed" });
      }
      const left = names.length - at.length;
      return {
        traces, legend, x: { title: "internal consistency" }, y: { title: called(name) },
        words: `${at.length} neuroids of ${run.label}: median ${written(quantile(at.map((i) => y[i]), 0.5))}, middle half ${written(quantile(at.map((i) => y[i]), 0.25))} to ${written(quantile(at.map((i) => y[i]), 0.75))}${left ? `; ${left} without a value here` : ""}.`,
        head: ["neuroid", "internal consistency", name === "raw" ? "raw r" : "noise-corrected r"],
        rows: at.map((i) => [plain(names[i], 80), x[i], y[i]]), more: {},
      };
    });
  }

  /** Draw the neuroids of one run against those of another. */
  function against(id, a, b, kind, select) {
    if (!byNeuroid(a.record, "raw") || !byNeuroid(b.record, "raw")) return empty(id, NONE);
    const name = [a, b].every(({ record }) => named(kind, record) === "corrected") ? "corrected" : "raw";
    const of = ({ record }) => {
      const values = overBins(record, name, chosenBins(select, record));
      return new Map(record.neuroids.neuroid_id.map((neuroid, i) => [neuroid, values[i]]));
    };
    const [one, other] = [of(a), of(b)];
    const names = [...one.keys()].filter((neuroid) => other.has(neuroid));
    const [x, y] = [names.map((neuroid) => one.get(neuroid)), names.map((neuroid) => other.get(neuroid))];
    return draw(id, function () {
      const { at, trace } = points(names, x, y, look(a.n), "<b>%{text}</b><br>A %{x:.3f}<br>B %{y:.3f}<extra></extra>");
      if (!at.length) return { traces: [], words: "No neuroid has a value in both here." };
      const all = at.flatMap((i) => [x[i], y[i]]);
      const [low, high] = [Math.min(0, ...all), Math.max(...all)];
      const room = 0.04 * (high - low || 1);
      const range = [low - room, high + room];
      const above = at.filter((i) => x[i] > y[i]).length;
      return {
        traces: [{ type: "scatter", mode: "lines", name: "A = B", x: range, y: range, hoverinfo: "skip", line: { color: theme("quiet"), dash: "dash", width: 1.4 } }, { ...trace, name: "neuroids" }],
        legend: [{ text: "A = B", style: "dashed" }], height: Math.min(440, Math.max(300, document.querySelector(`#${id} .plot`).clientWidth)),
        x: { title: "A: " + literal(a.label, 30), more: { range, constrain: "domain" } },
        y: { title: "B: " + literal(b.label, 30), more: { range, scaleanchor: "x", constrain: "domain" } },
        words: `A predicts ${above} of ${at.length} neuroids better; the median of A minus B is ${written(quantile(at.map((i) => x[i] - y[i]), 0.5))} (${called(name)}).`,
        head: ["neuroid", "A", "B", "A − B"], rows: at.map((i) => [plain(names[i], 80), x[i], y[i], x[i] - y[i]]), more: {},
      };
    });
  }

  neurofit.scatter = { binOptions, consistency, against };
})();
