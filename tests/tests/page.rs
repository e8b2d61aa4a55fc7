//! The report as a page, in a browser: what is pointed at, clicked and read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use serde_json::{Value, json};
use squall_tests::browser::Browser;
use squall_tests::{Place, target};

/// Endpoints of the run; from eight on their table has a filter.
const NAMES: [&str; 8] = ["browse", "cart", "list", "login", "order", "pay", "search", "track"];

/// Those in the table that are shown, in their order.
const ROWS: &str = "[...document.querySelectorAll('#endpoints table.sortable > tbody')]
    .filter((body) => !body.hidden)
    .map((body) => body.rows[0].cells[0].innerText)";

/// What the charts say of an instant, by chart: when, how many crosshairs there are to be seen, the values.
const CROSSHAIR: &str = "[...document.querySelectorAll('.chart')].map((chart) => ({
    name: chart.dataset.chart,
    when: chart.querySelector('.when').innerText,
    crosses: [...chart.querySelectorAll('.cross')].filter((cross) => cross.getBoundingClientRect().height > 0).length,
    values: [...chart.querySelectorAll('.value')].map((value) => value.innerText),
}))";

/// How far along the axis the crosshairs are, in per cent.
const ALONG: &str = "[...document.querySelectorAll('.cross')].map((cross) => cross.style.left)";

/// Which of the percentiles' two charts can be seen, the logarithmic one first.
const AXES: &str = "[...document.querySelectorAll('[data-chart=chart-percentiles] .plot')]
    .map((plot) => plot.getBoundingClientRect().height > 0)";

/// Whether there is something drawn, by chart.
const DRAWN: &str = "[...document.querySelectorAll('.chart')].map((chart) =>
    [...chart.querySelectorAll('svg path')].some((path) => path.getBoundingClientRect().width > 100))";

/// How wide the window is, how wide what is in it, and before which colour.
const ROOM: &str = "[
    innerWidth,
    document.documentElement.scrollWidth,
    getComputedStyle(document.body).backgroundColor,
]";

/// Runs a plan of eight endpoints, of which one fails, and opens its report from disk.
fn report(browser: &mut Browser) -> (Place, Value) {
    let (place, server) = (Place::new(), target(false));
    // Each is sent as often as its place says, so that no two have the same number of requests.
    let steps = NAMES.iter().enumerate().map(|(index, name)| {
        let path = if *name == "pay" { "/_fault/status/503" } else { "/healthz" };
        let send = format!("{{ get: {path}, name: {name}, on_failure: continue }}");
        format!("{{ repeat: {{ times: {} }}, steps: [ {send} ] }}", index + 1)
    });
    let plan = format!(
        "target: http://{}\nload: [ {{ rate: 5/s, duration: 4s }}, {{ rate: 5/s, duration: 2s }} ]\n\
         scenarios: {{ a: {{ steps: [ {} ] }} }}\nthresholds: [ errors < 1% ]\n",
        server.address(),
        steps.collect::<Vec<_>>().join(", ")
    );
    place.write("plan.yaml", &plan);
    let ran = place.run(&["run", "plan.yaml", "--generators", "2", "--out", "out"]);
    // On a busy machine it may not be valid besides.
    assert!(ran.code == 99 || ran.code == 98, "{}\n{}", ran.stdout, ran.stderr);
    browser.open(&url(&place)).unwrap();
    let result = place.result("out");
    (place, result)
}

fn url(place: &Place) -> String {
    format!("file://{}", place.path().join("out/report.html").display())
}

fn rows(browser: &mut Browser) -> Vec<String> {
    serde_json::from_value(browser.evaluate(ROWS).unwrap()).unwrap()
}

/// Nothing in the console, and nothing loaded but the page.
fn check_quiet(browser: &Browser, place: &Place) {
    assert_eq!(browser.warnings(), [""; 0]);
    assert_eq!(browser.requests(), [url(place)]);
}

fn reversed(names: &[&str]) -> Vec<String> {
    names.iter().rev().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_charts_of_a_report_show_one_instant() {
    let mut browser = Browser::start().unwrap();
    browser.resize(1400, 900).unwrap();
    let (place, result) = report(&mut browser);
    let at_rest = browser.evaluate(CROSSHAIR).unwrap();
    let charts = at_rest.as_array().unwrap();
    assert!(charts.len() >= 4, "{at_rest}");
    assert!(charts.iter().all(|chart| chart["when"] == "" && chart["crosses"] == 0), "{at_rest}");

    // In the second from 1 s on, of four, or five if the last request is late.
    browser.hover("[data-chart=chart-users] .plot", 0.3).unwrap();
    let shown = browser.evaluate(CROSSHAIR).unwrap();
    for chart in shown.as_array().unwrap() {
        assert_eq!((&chart["when"], &chart["crosses"]), (&"at 1s".into(), &1.into()), "{chart}");
    }
    let along = browser.evaluate(ALONG).unwrap();
    assert!(along.as_array().unwrap().iter().all(|left| *left == along[0]), "{along}");
    // What it says of that second is what was measured.
    let point = result["timeline"]["points"].as_array().unwrap().iter().find(|point| point["t_s"] == 1.0);
    let outcomes = &point.unwrap()["outcomes"];
    let requests = shown.as_array().unwrap().iter().find(|chart| chart["name"] == "chart-requests").unwrap();
    for outcome in ["200", "503"] {
        let value = outcomes[outcome].to_string();
        assert!(requests["values"].as_array().unwrap().contains(&json!(value)), "{outcomes}, {requests}");
    }

    // Another chart, another second; then none.
    browser.hover("[data-chart=chart-requests] .plot", 0.55).unwrap();
    let later = browser.evaluate(CROSSHAIR).unwrap();
    assert!(later.as_array().unwrap().iter().all(|chart| chart["when"] == "at 2s"), "{later}");
    browser.hover("h1", 0.5).unwrap();
    assert_eq!(browser.evaluate(CROSSHAIR).unwrap(), at_rest);

    assert_eq!(browser.evaluate(AXES).unwrap(), json!([false, true]));
    browser.click("[data-chart=chart-percentiles] .switch + label").unwrap();
    assert_eq!(browser.evaluate(AXES).unwrap(), json!([true, false]));
    browser.hover("[data-chart=chart-percentiles] .plot.log", 0.3).unwrap();
    assert_eq!(browser.evaluate(CROSSHAIR).unwrap(), shown);
    browser.click("[data-chart=chart-percentiles] .switch").unwrap();
    assert_eq!(browser.evaluate(AXES).unwrap(), json!([false, true]));
    check_quiet(&browser, &place);
}

#[test]
fn the_endpoints_of_a_report_are_sorted_filtered_and_opened() {
    let mut browser = Browser::start().unwrap();
    browser.resize(1400, 900).unwrap();
    let (place, _) = report(&mut browser);
    // The one that fails, then those that are asked most.
    let attention = ["browse", "cart", "list", "login", "order", "search", "track", "pay"];
    assert_eq!(rows(&mut browser), reversed(&attention));

    let requests = "#endpoints thead th:nth-child(3) button";
    browser.click(requests).unwrap();
    assert_eq!(rows(&mut browser), reversed(&NAMES));
    browser.click(requests).unwrap();
    assert_eq!(rows(&mut browser), NAMES);
    let name = "#endpoints thead th:nth-child(1) button";
    browser.click(name).unwrap();
    assert_eq!(rows(&mut browser), NAMES);
    browser.click(name).unwrap();
    assert_eq!(rows(&mut browser), reversed(&NAMES));
    let sorted = "[...document.querySelectorAll('#endpoints thead th')].map((head) => head.ariaSort)";
    assert_eq!(browser.evaluate(sorted).unwrap()[0], "descending");
    browser.click("#endpoints thead th:nth-child(9) button").unwrap();
    assert_eq!(rows(&mut browser)[0], "pay");

    browser.click("#endpoints .filter").unwrap();
    browser.write("AR").unwrap();
    let mut found = rows(&mut browser);
    found.sort();
    assert_eq!(found, ["cart", "search"]);
    browser.click("#endpoints .filter").unwrap();
    browser.evaluate("document.activeElement.select()").unwrap();
    browser.write("pay").unwrap();
    assert_eq!(rows(&mut browser), ["pay"]);

    let inside = "document.querySelector('#endpoints tbody:not([hidden]) .inside').checkVisibility()";
    assert_eq!(browser.evaluate(inside).unwrap(), false);
    browser.click("#endpoints tbody:not([hidden]) summary").unwrap();
    assert_eq!(browser.evaluate(inside).unwrap(), true);
    let told = browser.evaluate("document.querySelector('#endpoints tbody:not([hidden]) .inside').innerText");
    let told = told.unwrap();
    let told = told.as_str().unwrap();
    assert!(told.contains("503\t180\t100") && told.contains("first byte"), "{told}");
    check_quiet(&browser, &place);
}

#[test]
fn a_report_reads_without_scripts_on_a_telephone_and_at_night() {
    let mut browser = Browser::start().unwrap();
    browser.script_enabled(false).unwrap();
    browser.resize(1400, 900).unwrap();
    browser.media(false).unwrap();
    let (place, result) = report(&mut browser);
    // No script has run.
    assert_eq!(browser.evaluate("document.body.className").unwrap(), "");
    assert_eq!(rows(&mut browser).len(), NAMES.len());
    let drawn = browser.evaluate(DRAWN).unwrap();
    assert!(drawn.as_array().unwrap().len() >= 4, "{drawn}");
    assert!(drawn.as_array().unwrap().iter().all(|drawn| *drawn == true), "{drawn}");
    let text = browser.evaluate("document.body.innerText").unwrap();
    for expected in [&result["verdict"]["reasons"][0], &json!("errors < 1%")] {
        let expected = expected.as_str().unwrap();
        assert!(text.as_str().unwrap().contains(expected), "{expected}\n{text}");
    }
    browser.click("[data-chart=chart-percentiles] .switch + label").unwrap();
    assert_eq!(browser.evaluate(AXES).unwrap(), json!([true, false]), "the switch needs no script");
    browser.click("#endpoints tbody:nth-of-type(1) summary").unwrap();
    check_quiet(&browser, &place);

    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for scripts in [false, true] {
        browser.script_enabled(scripts).unwrap();
        browser.open(&url(&place)).unwrap();
        for (width, dark) in [(1400, false), (1400, true), (400, false), (400, true)] {
            browser.resize(width, 900).unwrap();
            browser.media(dark).unwrap();
            let page = browser.evaluate(ROOM).unwrap();
            assert_eq!(page[0], width);
            assert!(page[1].as_u64() <= page[0].as_u64(), "scrolls sideways: {page}");
            let background = if dark { "rgb(20, 23, 27)" } else { "rgb(255, 255, 255)" };
            assert_eq!(page[2], background);
            let colours = if dark { "dark" } else { "light" };
            let script = if scripts { "" } else { "-without-scripts" };
            browser.screenshot(&pictures.join(format!("report-{width}-{colours}{script}.png"))).unwrap();
        }
        check_quiet(&browser, &place);
    }
}
