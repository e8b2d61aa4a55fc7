"use strict";
(() => {
  const MOST_PAST = 3600;
  const LONG_AGO_S = 20;
  const WIDTH = 600;
  const HEIGHT = 150;
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);

  const count = (number) => Math.round(number).toLocaleString("en-US");
  const rate = (number) => (number >= 99.95 ? count(number) : number.toPrecision(3).replace(/\.?0+$/, "")) + "/s";
  const seconds = (s) => {
    const whole = Math.max(0, Math.floor(s));
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    if (hours > 0) return minutes > 0 ? `${hours}h${minutes}m` : `${hours}h`;
    if (minutes > 0) return rest > 0 ? `${minutes}m${rest}s` : `${minutes}m`;
    return `${rest}s`;
  };
  const ms = (value) => {
    if (value === null || value === undefined) return "–";
    if (value < 1) return `${Math.round(value * 1000)}µs`;
    if (value < 1000) return `${Number(value.toPrecision(3))}ms`;
    return value < 60000 ? `${Number((value / 1000).toPrecision(3))}s` : seconds(value / 1000);
  };
  const percent = (ratio) => `${Number((ratio * 100).toPrecision(3))} %`;

  const element = (name, attributes, text) => {
    const made = document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const classOf = (outcome) => {
    if (outcome === "429") return "c429";
    if (outcome === "timeout") return "ctimeout";
    return /^[2345]/.test(outcome) ? `c${outcome[0]}xx` : "cother";
  };
  const ofClass = (name) => (point) =>
    Object.entries(point.outcomes).reduce((sum, [key, n]) => sum + (classOf(key) === name ? n : 0), 0);

  // Drawn from the bottom; stacked ones add up.
  const CHARTS = [
    { id: "users", title: "Users and requests in flight", show: count, series: [
      ["users", "users", (point) => point.users], ["in flight", "flight", (point) => point.in_flight]] },
    { id: "requests", title: "Requests per second by outcome", show: rate, stacked: true, series: [
      ["2xx", "c2xx", ofClass("c2xx")], ["3xx", "c3xx", ofClass("c3xx")], ["4xx", "c4xx", ofClass("c4xx")],
      ["429", "c429", ofClass("c429")], ["5xx", "c5xx", ofClass("c5xx")],
      ["timeouts", "ctimeout", ofClass("ctimeout")], ["others", "cother", ofClass("cother")]] },
    { id: "times", title: "Response time", show: ms, series: [
      ["p50", "p50", (point) => point.p50_ms], ["p95", "p95", (point) => point.p95_ms],
      ["p99", "p99", (point) => point.p99_ms]] },
    { id: "connections", title: "New connections", show: rate, series: [
      ["new", "flight", (point) => point.new_connections]] },
  ];

  const COLUMNS = [
    ["endpoint", (row) => row.name, (text) => text],
    ["requests", (row) => row.requests, count],
    ["rps", (row) => row.rps, (n) => rate(n).slice(0, -2)],
    ["p50", (row) => row.response_time_ms.p50, ms],
    ["p95", (row) => row.response_time_ms.p95, ms],
    ["p99", (row) => row.response_time_ms.p99, ms],
    ["max", (row) => row.response_time_ms.max, ms],
    ["errors", (row) => row.errors, (n) => (n === 0 ? "–" : count(n))],
  ];

  let points = [];
  let frame = null;
  let sorted = { column: 1, falling: true };
  let hovered = null;

  const figures = CHARTS.map((chart) => {
    const figure = element("figure", { class: "chart live", "data-chart": chart.id });
    figure.append(element("figcaption", {}, chart.title));
    const keys = element("div", { class: "keys" });
    const values = chart.series.map(([name, look]) => {
      const key = element("span", { class: "key" });
      key.append(element("i", { class: look }), name);
      const value = element("span", { class: "value" });
      key.append(value);
      keys.append(key);
      return { key, value };
    });
    const when = element("span", { class: "when" });
    keys.append(when);
    const plot = element("div", { class: "plot" });
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", chart.title);
    const top = element("span", { class: "y", style: "bottom:100%" });
    const cross = element("i", { class: "cross" });
    const [from, until] = ["0%", "100%"].map((left) => element("span", { class: "x", style: `left:${left}` }));
    plot.append(svg, top, element("span", { class: "y", style: "bottom:0" }, "0"), from, until, cross);
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      hovered = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      showHovered();
    });
    plot.addEventListener("pointerleave", () => { hovered = null; showHovered(); });
    figure.append(keys, plot);
    byId("charts").append(figure);
    return { chart, svg, top, from, until, cross, values, when };
  });

  const x = (index) => (points.length > 1 ? (index / (points.length - 1)) * WIDTH : 0);

  const draw = ({ chart, svg, top, from, until, values }) => {
    const sums = points.map(() => 0);
    const rows = chart.series.map(([, , value]) => points.map((point, at) => {
      const own = value(point);
      if (!chart.stacked) return own;
      sums[at] += own;
      return sums[at];
    }));
    const most = rows.flat().reduce((most, value) => Math.max(most, value ?? 0), 0) || 1;
    const y = (value) => (HEIGHT - (value / most) * HEIGHT).toFixed(1);
    svg.replaceChildren();
    rows.forEach((row, at) => {
      const look = chart.series[at][1];
      const below = at > 0 ? rows[at - 1] : points.map(() => 0);
      values[at].key.hidden = chart.stacked && row.every((value, i) => value === below[i]);
      let path = "";
      row.forEach((value, i) => {
        if (value === null || value === undefined) return;
        const joined = path !== "" && row[i - 1] !== null && row[i - 1] !== undefined;
        path += `${joined ? "L" : "M"}${x(i).toFixed(1)} ${y(value)}`;
      });
      if (chart.stacked && path !== "") {
        for (let i = row.length - 1; i >= 0; i -= 1) path += `L${x(i).toFixed(1)} ${y(below[i])}`;
        path += "Z";
      }
      const drawn = document.createElementNS(SVG, "path");
      drawn.setAttribute("class", `${chart.stacked ? "area" : "line"} ${look}`);
      drawn.setAttribute("d", path);
      svg.append(drawn);
    });
    top.textContent = chart.show(most);
    from.textContent = points.length > 0 ? seconds(points[0].t_s) : "";
    until.textContent = points.length > 1 ? seconds(points[points.length - 1].t_s) : "";
  };

  const showHovered = () => {
    const index = hovered === null ? points.length - 1 : Math.round(hovered * (points.length - 1));
    const point = points[index];
    figures.forEach(({ chart, cross, values, when }) => {
      cross.style.display = hovered === null || !point ? "none" : "block";
      cross.style.left = `${(hovered ?? 0) * 100}%`;
      when.textContent = point ? `${hovered === null ? "now " : ""}${seconds(point.t_s)}` : "";
      chart.series.forEach(([, , value], at) => {
        const own = point ? value(point) : null;
        values[at].value.textContent = own === null || own === undefined ? "–" : chart.show(own);
      });
    });
  };

  const facts = (list, pairs) => {
    byId(list).replaceChildren(...pairs.map(([name, value, look]) => {
      const fact = document.createElement("div");
      fact.append(element("dt", {}, name), element("dd", look ? { class: look } : {}, value));
      return fact;
    }));
  };

  const head = document.querySelector("#endpoints thead tr");
  COLUMNS.forEach(([name], at) => {
    const cell = element("th", { scope: "col" });
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      sorted = { column: at, falling: sorted.column === at ? !sorted.falling : at > 0 };
      showEndpoints();
    });
    cell.append(button);
    head.append(cell);
  });

  const showEndpoints = () => {
    [...head.children].forEach((cell, at) => {
      cell.setAttribute("aria-sort", at !== sorted.column ? "none" : sorted.falling ? "descending" : "ascending");
    });
    const value = COLUMNS[sorted.column][1];
    const order = (one, other) => {
      const [a, b] = [value(one) ?? -1, value(other) ?? -1];
      const rising = typeof a === "string" ? a.localeCompare(b) : a - b;
      return sorted.falling ? -rising : rising;
    };
    const rows = [...frame.endpoints].sort(order).map((endpoint) => {
      const row = element("tr", endpoint.errors > 0 ? { class: "bad" } : {});
      COLUMNS.forEach(([, of, show], at) => {
        const text = show(of(endpoint));
        row.append(at === 0 ? element("th", { scope: "row" }, text) : element("td", {}, text));
      });
      return row;
    });
    document.querySelector("#endpoints tbody").replaceChildren(...rows);
    byId("more").textContent = frame.more_endpoints > 0 ? `${count(frame.more_endpoints)} more in the report` : "";
  };

  const thresholdValue = ({ value, unit, at_least: atLeast }) => {
    if (value === null) return "no data yet";
    const shown = { ms, ratio: percent, per_second: rate, count }[unit] ?? ((n) => String(Number(n.toPrecision(3))));
    return `${atLeast ? "≥" : ""}${shown(value)}`;
  };

  const showThresholds = () => {
    const fails = (threshold) => !threshold.passed && threshold.value !== null;
    const all = [...frame.thresholds].sort((one, other) => fails(other) - fails(one));
    byId("thresholds").hidden = all.length === 0;
    document.querySelector("#thresholds ul").replaceChildren(...all.map((threshold) => {
      const [mark, word, look] = fails(threshold) ? ["✗", "fails", "bad"]
        : threshold.value === null ? ["·", "", "muted"] : ["✓", "holds", "good"];
      const over = threshold.over_s === null ? "" : ` over ${seconds(threshold.over_s)}`;
      return element("li", { class: look }, `${mark} ${threshold.expression}${over}: ${thresholdValue(threshold)} ${word}`);
    }));
  };

  const STATES = { gathering: "generators get ready", waiting: "load begins", running: "running", ending: "ending",
    done: "making the report …" };

  const show = () => {
    const { now, generators, response_time_ms: all } = frame;
    document.title = `${frame.name} · ${frame.state}`;
    byId("name").textContent = frame.name;
    byId("state").textContent = STATES[frame.state];
    byId("stop").disabled = frame.state === "ending" || frame.state === "done";
    const t_s = Math.min(Math.max(frame.t_s ?? 0, 0), frame.duration_s);
    const stage = frame.stage ? ` · stage ${frame.stage.number} of ${frame.stage.of}, ${seconds(frame.stage.left_s)} left` : "";
    byId("time").textContent = `${seconds(t_s)} of ${seconds(frame.duration_s)}${stage} · run ${frame.run}`;
    document.querySelector("#bar i").style.width = `${(t_s / Math.max(frame.duration_s, 0.001)) * 100}%`;
    facts("now", [
      ["users", count(now.users)], ["in flight", count(now.in_flight)],
      ...(now.arrivals_per_s > 0 || frame.dropped > 0 ? [["arrivals", rate(now.arrivals_per_s)],
        ["dropped", frame.dropped > 0 ? count(frame.dropped) : "–", frame.dropped > 0 ? "bad" : ""]] : []),
      ["requests now", rate(now.rps)], ["requests", count(frame.requests)],
      ["errors", frame.errors > 0 ? `${count(frame.errors)} (${percent(frame.errors / frame.requests)})` : "–",
        frame.errors > 0 ? "bad" : ""],
      ["p50 now", ms(now.p50_ms)], ["p95 now", ms(now.p95_ms)], ["p99 now", ms(now.p99_ms)],
      ["p50", ms(all.p50)], ["p95", ms(all.p95)], ["p99", ms(all.p99)], ["max", ms(all.max)],
    ]);
    facts("generators", ["wanted", "ready", "running", "ended", "spare", "late", "duplicate"]
      .filter((key) => key === "wanted" || generators[key] > 0).map((key) => [key, count(generators[key])]));
    byId("telemetry").hidden = frame.telemetry.length === 0;
    facts("instruments", frame.telemetry.map(({ name, unit, value, age_s: age }) =>
      [age < LONG_AGO_S ? name : `${name} (${seconds(age)} ago)`, `${Number(value.toPrecision(3))} ${unit}`.trim()]));
    showThresholds();
    showEndpoints();
    figures.forEach(draw);
    showHovered();
  };

  const source = new EventSource("events");
  source.addEventListener("begin", (event) => {
    const begin = JSON.parse(event.data);
    points = begin.points;
    if (begin.frame) { frame = begin.frame; show(); }
  });
  source.addEventListener("frame", (event) => {
    frame = JSON.parse(event.data);
    points = [...points, ...frame.points].slice(-MOST_PAST);
    show();
  });
  source.addEventListener("report", async () => {
    const report = await (await fetch("report")).blob();
    source.close();
    // Nobody serves it any more in a moment.
    window.location.replace(URL.createObjectURL(report));
  });
  source.addEventListener("error", () => { byId("state").textContent = "the connection is lost; trying again …"; });
  byId("stop").addEventListener("click", () => {
    if (window.confirm("Stop the load? Its report is still made.")) {
      byId("stop").disabled = true;
      fetch("stop", { method: "POST" });
    }
  });
})();
