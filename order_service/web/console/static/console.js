// What the pages need beside htmx: countdowns, the sign that the page is live, plots, and copying an order id.
(() => {
  "use strict";

  const countdown = () => {
    for (const each of document.querySelectorAll("time[data-until]")) {
      const left = Math.round((Date.parse(each.dateTime) - Date.now() - skew) / 1000);
      each.textContent = left > 0 ? `in ${spoken(left)}` : left > -5 ? "now" : `${spoken(-left)} ago`;
    }
    for (const each of document.querySelectorAll("time[data-since]")) {
      each.textContent = `${spoken(Math.max(0, Math.round((Date.now() + skew - Date.parse(each.dateTime)) / 1000)))} ago`;
    }
  };
  const spoken = (seconds) => {
    if (seconds < 90) return `${seconds} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} days`;
  };
  const served = document.documentElement.dataset.now;
  const skew = served ? Date.parse(served) - Date.now() : 0; // the server's clock counts

  const live = (state, words) => {
    const sign = document.getElementById("live-sign");
    if (!sign || sign.dataset.state === state) return;
    sign.dataset.state = state;
    sign.textContent = words;
  };

  const plots = [];
  const draw = (data) => {
    const rates = document.getElementById("plot-rates");
    const times = document.getElementById("plot-times");
    if (!rates || !times || !window.uPlot) return;
    const inner = document.createElement("i");
    document.body.append(inner);
    const resolved = (name) => { inner.style.color = `var(${name})`; return getComputedStyle(inner).color; };
    const ink = resolved("--quiet"), line = resolved("--line");
    const series = (label, stroke) => ({ label, stroke: resolved(stroke), width: 2, spanGaps: true, points: { show: false } });
    const clock = (seconds, step) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(step < 60 && { second: "2-digit" }) });
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    const marks = {
      hooks: {
        draw: (plot) => {
          for (const mark of plot.marks || []) {
            const x = plot.valToPos(mark.at, "x", true);
            if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
            plot.ctx.save();
            plot.ctx.strokeStyle = resolvedMark;
            plot.ctx.setLineDash([4, 4]);
            plot.ctx.beginPath();
            plot.ctx.moveTo(x, plot.bbox.top);
            plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
            plot.ctx.stroke();
            plot.ctx.restore();
          }
        },
      },
    };
    const resolvedMark = resolved("--bad");
    const options = (host, lines, values) => ({
      width: host.clientWidth, height: 150, plugins: [marks], legend: { live: true },
      cursor: { y: false }, scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [{ ...axis, space: 80, values: (_, all, _axis, _space, step) => all.map((each) => clock(each, step)) }, { ...axis, size: 56, values }], series: [{ label: "time" }, ...lines],
    });
    if (!plots.length) {
      plots.push(new uPlot(options(rates, [series("placed a second", "--accent"), series("ended a second", "--good")]), [[], [], []], rates));
      plots.push(new uPlot(options(times, [series("median seconds to end", "--cool"), series("99th percentile", "--warm")], (_, all) => all.map((each) => `${each} s`)), [[], [], []], times));
    }
    inner.remove();
    plots.forEach((plot) => { plot.marks = data.marks; });
    const from = begin(data), shown = (names) => names.map((name) => data[name].slice(from));
    plots[0].setData(shown(["at", "placed", "ended"]));
    plots[1].setData(shown(["at", "p50", "p99"]));
  };
  const begin = (data) => { // shortly before the first order, and three minutes at least
    const first = data.at.findIndex((_, index) => data.placed[index] || data.ended[index]);
    const least = data.at.findIndex((at) => at >= data.at.at(-1) - 180);
    return Math.max(0, Math.min(first < 0 ? least : first - 3, least));
  };
  const redraw = () => {
    const host = document.getElementById("plots");
    plots.splice(0).forEach((plot) => plot.destroy());
    if (host && last) draw(last);
  };
  let last = null;
  const took = (text) => { last = JSON.parse(text); draw(last); };

  document.addEventListener("htmx:sse:after:connection", () => live("on", "live"));
  document.addEventListener("htmx:sse:error", () => live("off", "connecting again"));
  document.addEventListener("htmx:sse:close", () => live("off", "not live"));
  document.addEventListener("htmx:after:swap", countdown);
  document.addEventListener("activity", (event) => took(event.detail.data));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button && navigator.clipboard) navigator.clipboard.writeText(button.dataset.copy).then(() => { button.textContent = "copied"; });
  });
  window.addEventListener("resize", () => plots.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: 150 })));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const first = document.getElementById("plots");
  if (first && first.dataset.activity) took(first.dataset.activity);
  setInterval(countdown, 1000);
  countdown();
})();
