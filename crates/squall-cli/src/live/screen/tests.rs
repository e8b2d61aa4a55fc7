use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use squall_report::{Point, Threshold};

use super::*;
use crate::live::frame::{Endpoint, Generators, Instrument, Now, Quantiles, Stage, State};

fn quantiles(p50: f64) -> Quantiles {
    Quantiles { p50: Some(p50), p95: Some(p50 * 2.0), p99: Some(p50 * 3.5), max: Some(p50 * 60.0) }
}

fn endpoint(name: &str, requests: u64, errors: u64, p50: f64) -> Endpoint {
    Endpoint {
        name: name.to_owned(),
        scenario: "buyer".to_owned(),
        requests,
        errors,
        rps: requests as f64 / 72.0,
        response_time_ms: quantiles(p50),
        ..Endpoint::default()
    }
}

fn threshold(expression: &str, value: Option<f64>, passed: bool) -> Threshold {
    let (expression, unit) = (expression.to_owned(), "ms".to_owned());
    Threshold { expression, unit, value, passed, ..Threshold::default() }
}

fn frame() -> Frame {
    let points = (0..72).map(|t_s| Point {
        t_s,
        requests: 180 + 10 * (t_s.unsigned_abs() % 5),
        errors: u64::from(t_s > 60),
        p50_ms: Some(18.0),
        p95_ms: Some(44.0),
        p99_ms: (t_s > 10).then_some(91.0),
        ..Point::default()
    });
    Frame {
        run: "20261124-141200-8f31c2".to_owned(),
        name: "shop".to_owned(),
        state: State::Running,
        t_s: Some(72.4),
        duration_s: 330.0,
        stage: Some(Stage { number: 2, of: 3, left_s: 107.6 }),
        generators: Generators { wanted: 16, ready: 16, running: 16, late: 1, ..Generators::default() },
        requests: 62_114,
        errors: 262,
        dropped: 0,
        response_time_ms: quantiles(18.0),
        now: Now {
            span_s: 5,
            users: 150,
            in_flight: 12,
            arrivals_per_s: 188.2,
            rps: 188.2,
            errors_per_s: 1.4,
            classes: BTreeMap::from([("2xx", 186.8), ("429", 1.4)]),
            p50_ms: Some(18.0),
            p95_ms: Some(44.0),
            p99_ms: Some(91.0),
            ..Now::default()
        },
        endpoints: vec![
            endpoint("GET /catalog/products", 31_044, 0, 18.0),
            endpoint("POST /cart", 15_480, 0, 25.0),
            endpoint("POST /orders/of/a/shop/with/long/paths", 7_712, 262, 61.0),
        ],
        more_endpoints: 0,
        thresholds: vec![
            threshold("p95 < 500ms", Some(212.0), true),
            threshold("p99{name=\"POST /orders\"} < 1500ms", Some(2_310.0), false),
            threshold("errors{stage=3} < 1%", None, false),
        ],
        telemetry: Vec::new(),
        points: points.collect(),
    }
}

fn instrument(name: &str, unit: &str, value: f64, age_s: f64) -> Instrument {
    let (source, name, unit) = ("prometheus".to_owned(), name.to_owned(), unit.to_owned());
    Instrument { source, name, unit, value, age_s }
}

fn shown() -> Shown {
    let mut shown = Shown::new(None);
    shown.take(frame());
    shown
}

fn screen(shown: &Shown, size: (u16, u16), style: Style) -> String {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|canvas| draw(canvas, shown, style)).unwrap();
    let lines = terminal.backend().to_string();
    lines.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

fn press(shown: &mut Shown, keys: &str) -> bool {
    let mut stops = false;
    for key in keys.chars() {
        stops |= shown.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
    }
    stops
}

#[test]
fn what_needs_attention_comes_first_on_every_size() {
    for (width, height) in [(80, 24), (200, 50), (70, 14), (69, 14), (20, 5), (1, 1)] {
        let text = screen(&shown(), (width, height), Style::default());
        insta::assert_snapshot!(format!("live_{width}x{height}"), text);
    }
}

#[test]
fn a_terminal_without_utf_8_gets_ascii() {
    let text = screen(&shown(), (80, 24), Style { colour: false, ascii: true });
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("! p99{name=\"POST /orders\"} < 1500ms"), "{text}");
}

#[test]
fn a_view_before_the_first_frame_is_empty() {
    assert_eq!(screen(&Shown::new(None), (80, 24), Style::default()).trim(), "");
}

#[test]
fn keys_sort_scroll_and_explain() {
    let mut shown = shown();
    let first = |shown: &Shown| {
        let text = screen(shown, (80, 24), Style::default());
        let at = text.lines().position(|line| line.starts_with(" endpoint")).unwrap();
        text.lines().nth(at + 1).unwrap().split("  ").next().unwrap().trim().to_owned()
    };
    assert_eq!(first(&shown), "GET /catalog/products");
    press(&mut shown, "ss");
    assert!(first(&shown).starts_with("POST /orders/of"), "by p95: {}", first(&shown));
    press(&mut shown, "sss");
    assert_eq!(first(&shown), "GET /catalog/products", "by name");
    press(&mut shown, "j");
    assert_eq!(first(&shown), "POST /cart");
    press(&mut shown, "jjjjjk");
    assert_eq!(first(&shown), "POST /cart");
    press(&mut shown, "?");
    assert!(screen(&shown, (80, 24), Style::default()).contains("any key    back"));
    press(&mut shown, "q");
    assert_eq!(shown.overlay, keys::Overlay::None, "the key that ends help does nothing else");
}

#[test]
fn the_load_ends_after_a_question_or_at_once_with_ctrl_c() {
    let mut asked = shown();
    assert!(!press(&mut asked, "q"));
    assert!(screen(&asked, (80, 24), Style::default()).contains("Stop the load?"));
    assert!(screen(&asked, (20, 5), Style::default()).contains("stop? y/n"));
    assert!(!press(&mut asked, "n"));
    assert!(press(&mut asked, "qy"));
    let text = screen(&asked, (80, 24), Style::default());
    assert!(text.contains("stopping; Ctrl-C leaves at once"), "{text}");
    assert!(!press(&mut asked, "qy"), "asked once");
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(asked.press(ctrl_c) && shown().press(ctrl_c));
}

#[test]
fn a_view_that_stands_still_misses_nothing() {
    let mut shown = shown();
    press(&mut shown, "p");
    for t_s in 72..75 {
        let points = vec![Point { t_s, ..Point::default() }];
        shown.take(Frame { requests: 70_000, points, ..frame() });
    }
    assert_eq!((shown.past.len(), shown.frame.as_ref().unwrap().requests), (72, 62_114));
    assert!(screen(&shown, (80, 24), Style::default()).contains("the view is paused"));
    press(&mut shown, "p");
    assert_eq!((shown.past.len(), shown.frame.as_ref().unwrap().requests), (75, 70_000));
}

#[test]
fn a_panic_finds_the_terminal_as_it_was() {
    restore_on_panic();
    SHOWN.store(true, Ordering::SeqCst);
    let panicked = std::thread::spawn(|| panic!("on purpose")).join();
    assert!(panicked.is_err());
    assert!(!SHOWN.load(Ordering::SeqCst));
}

#[test]
fn instruments_of_the_target_are_shown_as_far_as_there_is_room() {
    let mut shown = Shown::new(None);
    let many = (0..20).map(|index| instrument(&format!("pods of part {index}"), "", 4.0, 3.0));
    let first = [
        instrument("replicas", "pods", 4.0, 2.4),
        instrument("processors", "cores", 1.734_6, 75.0),
        instrument(&"a name that is much too long for a line ".repeat(3), "", 12_345.6, 0.0),
    ];
    shown.take(Frame { telemetry: first.into_iter().chain(many).collect(), ..frame() });
    let text = screen(&shown, (100, 24), Style::default());
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("pods")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], " replicas 4 pods · processors 1.73 cores (1m15s ago)", "{text}");
    assert!(lines[1].starts_with(" a name that is much too lon… 12,346 · pods of part 0 4 · "), "{text}");
    assert!(lines[2].ends_with(" more") && lines.iter().all(|line| line.chars().count() <= 100), "{text}");
    // Where there is little room endpoints are still seen.
    let text = screen(&shown, (70, 14), Style::default());
    assert!(text.contains("replicas 4 pods") && text.contains("POST /cart"), "{text}");
}
