"use strict";
(() => {
  const timeline = JSON.parse(document.getElementById("timeline").textContent);
  // Room for values is kept from the begin, so that nothing moves under the pointer.
  document.body.classList.add("live");
  const figures = [...document.querySelectorAll(".chart")];

  const seconds = (s) => {
    if (s < 0) return "-" + seconds(-s);
    const [hours, minutes, rest] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
    if (hours) return hours + "h" + (minutes ? minutes + "m" : "") + (rest ? rest + "s" : "");
    return minutes ? minutes + "m" + (rest ? rest + "s" : "") : rest + "s";
  };
  const duration = (us) => {
    if (us < 1e3) return us.toFixed(0) + "µs";
    if (us < 1e6) return (us / 1e3).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0) + "ms";
    return us < 6e7 ? (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + "s" : seconds(Math.round(us / 1e6));
  };
  const write = (unit, value) => {
    if (value === null || value === undefined) return "–";
    if (unit === "us") return duration(value);
    return value.toLocaleString("en", { maximumFractionDigits: value < 100 ? 1 : 0 });
  };

  // Two digits: buckets are wide.
  const about = (us) => duration(us ? Number(us.toPrecision(2)) : 0).replace(/(\.\d*?)0+(?=\D)/, "$1").replace(/\.(?=\D)/, "");
  // What a heat map holds there: in the bucket under the pointer, or in the fullest one.
  const heat = (chart, index, up) => {
    const pairs = chart.values[Math.floor((index * timeline.width_s) / chart.width_s)] || [];
    let [all, bucket, number] = [0, -1, 0];
    const pointed = up === null ? -1 : chart.rows[0] + Math.floor(up * (chart.rows[1] + 1 - chart.rows[0]));
    for (let at = 0; at < pairs.length; at += 2) {
      all += pairs[at + 1];
      if (pointed < 0 ? pairs[at + 1] > number : pairs[at] === pointed) [bucket, number] = [pairs[at], pairs[at + 1]];
    }
    if (bucket < 0) bucket = pointed;
    const range = bucket < 0 ? "" : about(chart.edges_us[bucket]) + " to " + about(chart.edges_us[bucket + 1]) + ": ";
    return range + number.toLocaleString("en") + " of " + all.toLocaleString("en");
  };

  // One crosshair for all charts.
  let current = -1;
  const show = (index, up = null) => {
    current = index;
    const time = seconds(timeline.begin_s + index * timeline.width_s);
    // The last slot may be cut.
    const middle = (index + Math.min(index + 1, timeline.length_s / timeline.width_s)) / 2;
    for (const figure of figures) {
      const chart = timeline.charts[figure.dataset.chart];
      figure.querySelectorAll(".value").forEach((cell, at) => {
        if (index < 0) cell.textContent = "";
        else if (chart.unit === "heat") cell.textContent = heat(chart, index, up);
        else cell.textContent = write(chart.unit, chart.values[at][index]);
      });
      figure.querySelector(".when").textContent = index < 0 ? "" : "at " + time;
      figure.querySelectorAll(".cross").forEach((cross) => {
        cross.style.display = index < 0 ? "none" : "block";
        cross.style.left = (100 * middle * timeline.width_s) / timeline.length_s + "%";
      });
    }
  };
  for (const plot of document.querySelectorAll(".plot:not(.still)")) {
    const follow = (event) => {
      const room = plot.getBoundingClientRect();
      const share = (event.clientX - room.left) / room.width;
      const up = (room.bottom - event.clientY) / room.height;
      const index = Math.floor((share * timeline.length_s) / timeline.width_s);
      const inside = plot.classList.contains("heat") && up >= 0 && up < 1;
      show(Math.max(0, Math.min(timeline.count - 1, index)), inside ? up : null);
    };
    plot.addEventListener("pointermove", follow);
    plot.addEventListener("pointerdown", follow);
    plot.addEventListener("pointerleave", () => show(-1));
    plot.addEventListener("blur", () => show(-1));
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(Math.max(0, Math.min(timeline.count - 1, current + step)));
    });
  }

  // Tables that sort and filter.
  for (const table of document.querySelectorAll("table.sortable")) {
    const bodies = [...table.tBodies];
    const heads = [...table.tHead.rows[0].cells];
    const value = (body, column) => body.rows[0].cells[column].dataset.value;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const text = head.dataset.sort === "text";
        const before = head.getAttribute("aria-sort");
        const ascending = before ? before === "descending" : text;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const compare = (a, b) =>
          text ? value(a, column).localeCompare(value(b, column)) : value(a, column) - value(b, column);
        bodies.sort((a, b) => (ascending ? compare(a, b) : compare(b, a)));
        table.append(...bodies);
      });
    });
    if (bodies.length < 8) continue;
    const filter = document.createElement("input");
    filter.type = "search";
    filter.className = "filter";
    filter.placeholder = "Filter by name";
    filter.setAttribute("aria-label", "Filter endpoints by name");
    filter.addEventListener("input", () => {
      const wanted = filter.value.toLowerCase();
      bodies.forEach((body) => (body.hidden = !value(body, 0).toLowerCase().includes(wanted)));
    });
    table.parentElement.before(filter);
  }
})();
