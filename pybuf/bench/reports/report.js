"use strict";
// Draws what is worth zooming into, from the raw data in the page. Nothing is fetched.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const result = read("result");
  const colourOf = read("colours");
  const HARNESS = "empty";
  const root = document.documentElement;

  // ---- colours ----------------------------------------------------------------------------------

  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const own = (name) => colour(colourOf[name] || "quiet");
  const faint = (rgb, alpha) => rgb.replace(/rgba?\(([^)]*)\)/, (_, parts) => `rgba(${parts}, ${alpha})`);
  const DASHES = ["solid", "dash", "longdash", "dashdot"];
  // The colours go round; then the dashes tell.
  const COLOURS = new Set(Object.values(colourOf)).size - 1;
  const order = Object.keys(colourOf).filter((name) => name !== HARNESS);
  const dash = (name) => name === HARNESS ? "dash" : DASHES[Math.floor(order.indexOf(name) / COLOURS) % DASHES.length];

  // Ours is drawn last, over the others, and wider.
  const OURS = "poolcore";
  const inOrder = (parts) => Object.keys(parts).sort((a, b) => (a === OURS) - (b === OURS));
  const widthOf = (name) => name === OURS ? 3 : 1.75;

  // ---- what all charts share --------------------------------------------------------------------

  // Plotly reads tags in its texts: names are escaped.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const isNarrow = (node) => node.clientWidth < 560;
  const format = (value) => value.toLocaleString("en", {maximumSignificantDigits: 3});
  const ns = (value) => {
    for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
      if (value >= size) return `${format(value / size)} ${unit}`;
    }
    return `${format(value)} ns`;
  };
  const bytes = (value) => {
    for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (value >= size) return `${format(value / size)} ${unit}`;
    }
    return `${format(value)} B`;
  };
  const font = () => ({family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("quiet")});
  const axis = (more) => ({
    gridcolor: colour("rule"), linecolor: colour("quiet"), zeroline: false, ticks: "outside", ticklen: 4,
    tickcolor: colour("rule"), automargin: false, fixedrange: matchMedia("(pointer: coarse)").matches, ...more,
  });
  const layout = (node, more) => ({
    width: node.clientWidth, height: node.clientHeight, font: font(), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    margin: {l: 58, r: isNarrow(node) ? 14 : 120, t: 14, b: 44},
    hoverlabel: {bgcolor: colour("raised"), bordercolor: colour("rule"), font: {...font(), color: colour("ink")}, namelength: 40},
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", ...more,
  });
  const note = (text, more) => ({text, showarrow: false, font: {...font()}, ...more});

  // Labels at the ends of lines, moved apart until none covers another; `place` is the height of an end, 0 to 1.
  const labels = (node, ends) => {
    if (isNarrow(node)) return [];
    const height = node.clientHeight - 58;
    const apart = 16 / height;
    const sorted = ends.filter((end) => Number.isFinite(end.place)).sort((a, b) => a.place - b.place);
    sorted.forEach((end, i) => {
      end.at = Math.max(end.place, i ? sorted[i - 1].at + apart : 0);
    });
    let ceiling = 1;
    for (const end of sorted.reverse()) {
      end.at = Math.min(end.at, ceiling);
      ceiling = end.at - apart;
    }
    return sorted.map((end) => {
      const cut = end.name.length > 15 ? `${end.name.slice(0, 14)}…` : end.name;
      return note(plain(cut) + (end.what ? ` ${end.what}` : ""), {
        xref: "paper", yref: "paper", x: 1, y: end.at, xanchor: "left", yanchor: "middle", xshift: 7,
        font: {...font(), color: end.colour},
      });
    });
  };

  const powers = (low, high) => {
    const ticks = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) ticks.push(10 ** power);
    return ticks;
  };

  // ---- the charts -------------------------------------------------------------------------------

  // A percentile needs this many samples beyond it.
  const BEYOND = 100;

  const tail = (counts) => {
    const sorted = [...counts].sort((a, b) => a[0] - b[0]);
    const total = sorted.reduce((sum, [, count]) => sum + count, 0);
    const x = [], y = [];
    let slower = total;
    for (const [time, count] of sorted) {
      if (slower < BEYOND) break;
      x.push(total / slower);
      y.push(Math.max(time, 1));
      slower -= count;
    }
    x.push(total / Math.max(slower, Math.min(BEYOND, total)));
    y.push(y[y.length - 1]);
    return {x, y, total};
  };

  const drawLatency = (node, comparison) => {
    const names = inOrder(comparison.latency);
    const tails = Object.fromEntries(names.map((name) => [name, tail(comparison.latency[name].counts)]));
    const right = Math.max(...names.map((name) => Math.max(...tails[name].x)));
    const heights = names.flatMap((name) => tails[name].y);
    const low = Math.log10(Math.min(...heights)) - 0.08, high = Math.log10(Math.max(...heights)) + 0.12;
    const traces = names.map((name) => ({
      x: tails[name].x, y: tails[name].y, name: plain(name), mode: "lines",
      line: {shape: "hv", width: widthOf(name), color: own(name), dash: dash(name)},
      text: tails[name].x.map((x, i) => `${format((1 - 1 / x) * 100)} % within ${ns(tails[name].y[i])}`),
      hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
    }));
    const all = [2, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].filter((tick) => tick <= right * 1.05);
    const shares = {2: "50", 10: "90", 100: "99", 1e3: "99.9", 1e4: "99.99", 1e5: "99.999", 1e6: "99.9999", 1e7: "99.99999"};
    const annotations = labels(node, names.map((name) => ({
      name, colour: own(name), place: (Math.log10(tails[name].y.at(-1)) - low) / (high - low),
    })));
    const shapes = [];
    const harness = comparison.latency[HARNESS];
    if (harness) {
      const sorted = [...harness.counts].sort((a, b) => a[0] - b[0]);
      let left = tails[HARNESS].total * 0.99, limit = sorted.length ? sorted[0][0] : 0;
      for (const [time, count] of sorted) {
        if (left <= 0) break;
        limit = time;
        left -= count;
      }
      shapes.push({
        type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y", y0: 10 ** low, y1: Math.max(limit, 1), layer: "below",
        line: {width: 0}, fillcolor: colour("zone"),
      });
      annotations.push(note(`below ${ns(limit)}: the harness’s own 99 %, nothing is said`, {
        xref: "paper", x: 1, xanchor: "right", xshift: -6, yref: "paper", y: 0, yanchor: "bottom", font: {...font(), size: isNarrow(node) ? 10 : 11},
      }));
    }
    const ticks = powers(low, high).flatMap(
      (power) => high - low < 1.6 ? [power, 2 * power, 5 * power] : [power, 3 * power]).filter(
      (tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
    return [traces, layout(node, {
      annotations, shapes, hovermode: "closest",
      xaxis: axis({
        type: "log", range: [Math.log10(2), Math.log10(right)], tickvals: all,
        ticktext: all.map((tick) => `${shares[tick]} %`), tickangle: 0, tickfont: {size: isNarrow(node) ? 10 : 12},
      }),
      yaxis: axis({type: "log", range: [low, high], tickvals: ticks, ticktext: ticks.map(ns)}),
    })];
  };

  const drawMemory = (node, comparison) => {
    const names = inOrder(comparison.memory).filter((name) => comparison.memory[name].timeline.length);
    const traces = [], ends = [];
    const line = (name, column, more) => {
      const points = comparison.memory[name].timeline.filter((point) => point[column] !== null);
      return {x: points.map((point) => point[0]), y: points.map((point) => point[column]), mode: "lines", ...more};
    };
    // Live bytes are the workload's, the same for everyone; the harness gives none of its own.
    const first = names.find((name) => name !== HARNESS) || names[0];
    traces.push(line(first, 1, {
      name: "live", fill: "tozeroy", fillcolor: colour("zone"), line: {width: 1, color: colour("quiet")},
    }));
    for (const name of names) {
      traces.push(line(name, 3, {name: plain(name), line: {width: widthOf(name), color: own(name), dash: dash(name)}}));
      if (comparison.memory[name].timeline.some((point) => point[2] !== null)) {
        traces.push(line(name, 2, {
          name: `${plain(name)}, in slabs`, line: {width: 1.75, color: own(name), dash: "dot"},
        }));
      }
    }
    const top = Math.max(...traces.flatMap((trace) => trace.y)) * 1.06;
    const last = (trace) => trace.y.at(-1) / top;
    ends.push({name: "live", colour: colour("quiet"), place: last(traces[0])});
    let at = 1;
    for (const name of names) {
      ends.push({name, colour: own(name), place: last(traces[at])});
      at += 1;
      if (traces[at] && traces[at].name === `${plain(name)}, in slabs`) {
        ends.push({name, what: "slabs", colour: own(name), place: last(traces[at])});
        at += 1;
      }
    }
    for (const trace of traces) {
      trace.text = trace.y.map(bytes);
      trace.hovertemplate = "%{text}<extra>%{fullData.name}</extra>";
    }
    const step = [1, 2, 5, 10].map((digit) => digit * 10 ** Math.floor(Math.log10(top / 5))).find((size) => size * 8 >= top);
    const ticks = Array.from({length: Math.floor(top / step) + 1}, (_, i) => i * step);
    return [traces, layout(node, {
      annotations: labels(node, ends), hovermode: "x unified",
      xaxis: axis({showgrid: false, rangemode: "tozero", nticks: isNarrow(node) ? 4 : 8, title: {text: "events", standoff: 8, font: font()}}),
      yaxis: axis({range: [0, top], tickvals: ticks, ticktext: ticks.map(bytes)}),
    })];
  };

  const drawSizes = (node, comparison) => {
    const sizes = comparison.size_histogram.filter(([size, count]) => size > 0 && count > 0);
    const zero = comparison.size_histogram.filter(([size]) => size <= 0).reduce((sum, [, count]) => sum + count, 0);
    const total = sizes.reduce((sum, [, count]) => sum + count, 0) + zero;
    const edges = (comparison.class_edges || []).filter((edge) => edge > 0);
    const low = Math.log2(Math.min(...sizes.map(([size]) => size))) - 0.3;
    const high = Math.log2(Math.max(...sizes.map(([size]) => size))) + 0.3;
    const bins = isNarrow(node) ? 60 : 150;
    const width = (high - low) / bins;
    const filled = new Map();
    for (const [size, count] of sizes) {
      const bin = Math.floor((Math.log2(size) - low) / width);
      const found = filled.get(bin) || {count: 0, least: size, most: size};
      filled.set(bin, {
        count: found.count + count, least: Math.min(found.least, size), most: Math.max(found.most, size),
      });
    }
    const bars = [...filled].sort((a, b) => a[0] - b[0]);
    const top = Math.max(...bars.map(([, bar]) => bar.count)) / total * 108;
    const ticks = [];
    for (let power = Math.ceil(low); power <= high; power += 1) ticks.push(power);
    const kept = ticks.filter((power) => power % Math.ceil(ticks.length / (isNarrow(node) ? 5 : 12)) === 0);
    const shapes = edges.map(Math.log2).filter((edge) => edge >= low && edge <= high).map((edge) => ({
      type: "line", xref: "x", x0: edge, x1: edge, yref: "paper", y0: 0, y1: 1, layer: "below",
      line: {width: 1, color: faint(colour("c0"), 0.5)},
    }));
    return [[{
      type: "bar", x: bars.map(([bin]) => low + (bin + 0.5) * width), y: bars.map(([, bar]) => bar.count / total * 100),
      width: width * 0.85, marker: {color: colour("quiet")},
      text: bars.map(([, bar]) => `${bar.least === bar.most ? format(bar.least) : `${bar.least}–${bar.most}`} B: ` +
        `${bar.count.toLocaleString("en")} allocations`),
      textposition: "none", hovertemplate: "%{text}<extra></extra>",
    }], layout(node, {
      shapes, margin: {l: 58, r: 14, t: 14, b: 44}, bargap: 0,
      xaxis: axis({showgrid: false, range: [low, high], tickvals: kept, ticktext: kept.map((power) => {
        const size = 2 ** power;
        return size >= 1 << 20 ? `${size >> 20} MiB` : size >= 1024 ? `${size >> 10} KiB` : `${size} B`;
      })}),
      yaxis: axis({showgrid: false, range: [0, top], ticksuffix: " %", nticks: 6}),
    })];
  };

  const DRAWN = {latency: drawLatency, memory: drawMemory, sizes: drawSizes};
  const charts = [...document.querySelectorAll("[data-chart]")];
  const draw = () => {
    for (const node of charts) {
      const [traces, settings] = DRAWN[node.dataset.chart](node, result.comparisons[Number(node.dataset.comparison)]);
      Plotly.react(node, traces, settings, {displayModeBar: false, responsive: false, doubleClick: "reset"});
    }
  };

  // ---- light and dark, width, paper -------------------------------------------------------------

  const button = document.getElementById("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    draw();
  };
  // A browser may keep no memory for files.
  const kept = (change) => {
    try {
      return change(localStorage);
    } catch {
      return null;
    }
  };
  const before = kept((memory) => memory.getItem("pybuf-theme"));
  if (before === "dark" || before === "light") root.dataset.theme = before;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept((memory) => memory.setItem("pybuf-theme", root.dataset.theme));
    show();
  });
  prefersDark.addEventListener("change", show);
  matchMedia("print").addEventListener("change", draw);
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
  let width = innerWidth;
  addEventListener("resize", () => {
    // Phones resize when their address bar hides.
    if (innerWidth !== width) requestAnimationFrame(draw);
    width = innerWidth;
  });

  // ---- buttons ----------------------------------------------------------------------------------

  document.getElementById("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${JSON.stringify(result, null, 1)}\n`], {type: "application/json"}));
    link.download = "result.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  const copy = document.getElementById("copy");
  if (copy) {
    copy.addEventListener("click", () => {
      const range = document.createRange();
      range.selectNodeContents(document.getElementById("command"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      copy.textContent = document.execCommand("copy") ? "Copied" : "Select and copy";
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  show();
  root.dataset.drawn = String(charts.length);
})();
