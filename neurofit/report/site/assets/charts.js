// Charts in the page's own colours, with words and a table beside each.
(function () {
  "use strict";
  const { element, plain } = neurofit;
  const { written } = neurofit.numbers;
  const SVG = "http://www.w3.org/2000/svg";
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const STROKES = ["", "6 3", "2 2", "6 2 2 2"];
  const drawn = new Map();

  const isDark = () => getComputedStyle(document.documentElement).getPropertyValue("--is-dark").trim() === "1";
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  /** Return how the nth curve looks. No two of the first 24 are alike, and no two of six by colour alone. */
  function look(n) {
    const { light, dark, symbols } = neurofit.series;
    const turn = Math.floor(n / light.length) % DASHES.length;
    const colour = (isDark() ? dark : light)[n % light.length];
    return { colour, symbol: symbols[(n + turn) % symbols.length], dash: DASHES[turn], stroke: STROKES[turn] };
  }

  /** Return text that Plotly shows as it is: it would read markup in it. */
  function literal(text, limit = 60) {
    return plain(text, limit).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  /** Return a colour with a transparency. */
  function faint(colour, alpha) {
    const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    return `rgba(${parts.join(",")},${alpha})`;
  }

  const PATHS = {
    circle: "M8,5a3,3 0 1,0 6,0a3,3 0 1,0 -6,0", square: "M8,2h6v6h-6z", "triangle-up": "M11,1.5l3.6,6.4h-7.2z",
    diamond: "M11,1l4,4l-4,4l-4,-4z", "triangle-down": "M11,8.5l3.6,-6.4h-7.2z", cross: "M9.7,1h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
  };

  /** Return a little picture of a curve's line and mark. */
  function swatch(n) {
    const { colour, symbol, stroke } = look(n);
    const svg = document.createElementNS(SVG, "svg");
    const line = document.createElementNS(SVG, "path");
    const mark = document.createElementNS(SVG, "path");
    svg.setAttribute("viewBox", "0 0 22 10");
    svg.setAttribute("class", "swatch");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", "M0,5H22");
    line.setAttribute("stroke", colour);
    line.setAttribute("stroke-width", "2");
    if (stroke) line.setAttribute("stroke-dasharray", stroke);
    mark.setAttribute("d", PATHS[symbol]);
    mark.setAttribute("fill", colour);
    svg.append(line, mark);
    return svg;
  }

  function axis(title, more) {
    return {
      title: { text: title, font: { size: 13 }, standoff: 10 }, gridcolor: theme("line"), zeroline: false,
      linecolor: theme("edge"), ticks: "outside", tickcolor: theme("edge"), ticklen: 4, automargin: true,
      tickfont: { size: 12 }, ...more,
    };
  }

  function layout(x, y, more) {
    return {
      xaxis: axis(x.title, x.more), yaxis: axis(y.title, y.more), showlegend: false, hovermode: "closest",
      margin: { l: 56, r: 16, t: 14, b: 48 }, paper_bgcolor: theme("surface"), plot_bgcolor: theme("surface"),
      font: { family: theme("sans"), color: theme("ink"), size: 13 }, autosize: true,
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
      hoverlabel: { bgcolor: theme("raised"), bordercolor: theme("edge"), font: { color: theme("ink"), family: theme("sans") }, align: "left" },
      separators: ".,", ...more,
    };
  }

  /**
   * Draw a chart, and say it in words and as a table.
   *
   * spec() returns { traces, x, y, more, words, head, rows, height }; it is called again when the page turns dark.
   */
  function draw(id, spec) {
    const figure = document.getElementById(id);
    const plot = figure.querySelector(".plot");
    const made = spec();
    drawn.set(id, { spec, title: figure.querySelector("h3").textContent });
    figure.classList.toggle("without", !made.traces.length);
    figure.querySelector("[data-picture]").hidden = !made.traces.length;
    figure.querySelector(".summary").textContent = made.words;
    const tall = made.height || Math.round(Math.min(420, Math.max(280, plot.clientWidth * 0.6)));
    plot.style.height = tall + "px";
    plot.setAttribute("aria-label", made.words);
    legend(figure.querySelector(".legend"), made.legend || []);
    if (made.traces.length) {
      Plotly.react(plot, made.traces, { ...layout(made.x, made.y, made.more), height: tall },
        { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" });
    } else Plotly.purge(plot);
    values(figure.querySelector(".values"), made);
  }

  function legend(box, entries) {
    box.replaceChildren(...entries.map(function (entry) {
      return element("span", { class: "key " + (entry.style || "") }, entry.n === undefined ? "" : swatch(entry.n), " " + entry.text);
    }));
  }

  /** Write the table of a chart when somebody opens it. */
  function values(details, made) {
    details.hidden = !made.rows || !made.rows.length;
    const write = function () {
      if (!details.open || details.hidden) return;
      const cell = (value, head) => (head ? element("th", { scope: "row" }, String(value))
        : element("td", { class: "n" }, typeof value === "number" || value === null ? written(value) : String(value)));
      details.querySelector(".scroll").replaceChildren(element("table", { class: "plain" },
        element("thead", {}, element("tr", {}, ...made.head.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...made.rows.map((row) => element("tr", {}, ...row.map((value, i) => cell(value, i === 0)))))));
    };
    details.ontoggle = write;
    write();
  }

  /** Offer raw and corrected values only where there are both. */
  function offerKinds(records) {
    const both = records.some(neurofit.numbers.corrects);
    for (const fieldset of document.querySelectorAll("fieldset.switch")) fieldset.hidden = !both;
  }

  /** Say that a chart cannot be drawn. */
  function empty(id, words) {
    draw(id, () => ({ traces: [], words }));
  }

  async function picture(id) {
    const { spec, title } = drawn.get(id);
    const made = spec();
    const address = await Plotly.toImage({ data: made.traces, layout: {
      ...layout(made.x, made.y, made.more), showlegend: true, legend: { orientation: "h", y: -0.2 },
      title: { text: literal(title), font: { size: 15 } }, margin: { l: 64, r: 24, t: 48, b: 90 },
    } }, { format: "svg", width: 900, height: 560 });
    neurofit.save(id + ".svg", new Blob([decodeURIComponent(address.slice(address.indexOf(",") + 1))], { type: "image/svg+xml" }));
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-picture]");
    if (button) picture(button.dataset.picture);
  });
  document.addEventListener("neurofit:theme", function () {
    for (const [id, { spec }] of drawn) draw(id, spec);
  });

  neurofit.charts = { draw, empty, offerKinds, look, swatch, literal, faint, theme };
})();
