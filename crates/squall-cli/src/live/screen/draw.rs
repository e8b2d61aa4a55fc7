//! How the live view looks: what needs attention first, then numbers, charts, endpoints.

use ratatui::Frame as Canvas;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style as Look};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};
use squall_report::{
    Style, Threshold, count, duration_ms, duration_s, percent, significant, threshold_text, threshold_value,
    to_ascii,
};

use super::charts;
use super::keys::{Overlay, Shown, Sort};
use crate::live::frame::{Endpoint, Frame, Instrument, State};

/// Below this there is room for a few numbers only.
const LEAST: (u16, u16) = (70, 14);

/// Charts need as many rows.
const ROOM_FOR_CHARTS: u16 = 20;

/// Columns of an endpoint's numbers.
const COLUMN_WIDTHS: [u16; 7] = [9, 6, 6, 6, 6, 6, 7];

pub(super) const DIM: Look = Look::new().add_modifier(Modifier::DIM);
const BOLD: Look = Look::new().add_modifier(Modifier::BOLD);
const BAD: Look = Look::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const GOOD: Look = Look::new().fg(Color::Green);

/// Outcomes and percentiles have the colours that they have in the report.
const CLASSES: [(&str, Color); 7] = [
    ("2xx", Color::Cyan),
    ("3xx", Color::Gray),
    ("4xx", Color::Yellow),
    ("429", Color::LightRed),
    ("5xx", Color::Red),
    ("timeouts", Color::Magenta),
    ("others", Color::LightMagenta),
];
pub(super) const QUANTILES: [(&str, Color); 3] =
    [("p50", Color::LightBlue), ("p95", Color::Blue), ("p99", Color::Magenta)];

/// Columns of an instrument's name and of its unit.
const MOST_NAME: usize = 28;
const MOST_UNIT: usize = 10;

/// They are asked every ten seconds, and many tell a minute.
const LONG_AGO_S: f64 = 20.0;

pub(super) fn draw(canvas: &mut Canvas<'_>, shown: &Shown, style: Style) {
    let area = canvas.area();
    match &shown.frame {
        None => {}
        Some(frame) if area.width < LEAST.0 || area.height < LEAST.1 => few(canvas, area, shown, frame),
        Some(frame) => whole(canvas, area, shown, frame),
    }
    if shown.overlay == Overlay::Help {
        help(canvas, area, shown.page.as_deref());
    }
    plain(canvas.buffer_mut(), style);
}

/// Without colours or characters beyond ASCII, where those are not wanted.
fn plain(buffer: &mut Buffer, style: Style) {
    for cell in &mut buffer.content {
        if !style.colour {
            (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
        }
        if style.ascii && !cell.symbol().is_ascii() {
            let plain = to_ascii(cell.symbol());
            cell.set_symbol(if plain.is_ascii() { &plain } else { "*" });
        }
    }
}

/// What fits nearly everywhere.
fn few(canvas: &mut Canvas<'_>, area: Rect, shown: &Shown, frame: &Frame) {
    let asks = shown.overlay == Overlay::AskToStop;
    let failing = frame.thresholds.iter().filter(|threshold| fails(threshold)).count();
    let mut lines = vec![
        Line::styled(format!("{} {}", state(frame), time(frame)), BOLD),
        Line::raw(format!("{} users {}/s", count(frame.now.users), significant(frame.now.rps))),
        Line::raw(format!("p95 {}", ms(frame.now.p95_ms))),
        Line::raw(errors(frame.errors, frame.requests)),
        Line::styled(if asks { "stop? y/n" } else { "q stop  ? help" }, DIM),
    ];
    if failing > 0 {
        lines[2] = Line::styled(format!("{failing} thresholds fail"), BAD);
    }
    canvas.render_widget(Paragraph::new(lines), area);
}

fn whole(canvas: &mut Canvas<'_>, area: Rect, shown: &Shown, frame: &Frame) {
    let thresholds = rows(frame.thresholds.len()).min(area.height / 6);
    let charts = if area.height >= ROOM_FOR_CHARTS { area.height / 4 } else { 0 };
    let told = instrument_lines(&frame.telemetry, usize::from(area.width), usize::from(area.height / 8));
    let [head, judged, numbers, instruments, chart, _, table, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(thresholds),
        Constraint::Length(4),
        Constraint::Length(rows(told.len())),
        Constraint::Length(charts),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    heading(canvas, head, frame);
    canvas.render_widget(Paragraph::new(threshold_lines(frame, judged.height)), judged);
    canvas.render_widget(Paragraph::new(number_lines(frame)), numbers);
    canvas.render_widget(Paragraph::new(told), instruments);
    if charts > 0 {
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).spacing(1).areas(chart);
        charts::requests(canvas, left, shown);
        charts::times(canvas, right, shown);
    }
    endpoint_table(canvas, table, shown, frame);
    canvas.render_widget(Paragraph::new(footer(shown)), foot);
}

/// What runs, how far it is, and how long it takes still.
fn heading(canvas: &mut Canvas<'_>, area: Rect, frame: &Frame) {
    let mut words = vec![Span::styled(format!(" {} ", frame.name), BOLD), Span::raw(state(frame))];
    if let Some(stage) = frame.stage {
        let left = duration_s(stage.left_s.ceil());
        words.push(Span::raw(format!(" · stage {} of {}, {left} left", stage.number, stage.of)));
    }
    let [title, bar] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    canvas.render_widget(Paragraph::new(Line::from(words)), title);
    let time = Paragraph::new(format!("{} ", time(frame))).alignment(Alignment::Right);
    let [_, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(20)]).areas(title);
    canvas.render_widget(time, right);
    let width = usize::from(bar.width.saturating_sub(2));
    let share = frame.t_s.unwrap_or(0.0) / frame.duration_s.max(0.001);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a width")]
    let done = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let line = Line::from(vec![
        Span::raw(" "),
        Span::styled("━".repeat(done), Look::new().fg(Color::Cyan)),
        Span::styled("─".repeat(width - done), DIM),
    ]);
    canvas.render_widget(Paragraph::new(line), bar);
}

fn state(frame: &Frame) -> String {
    let generators = frame.generators;
    match frame.state {
        State::Gathering => format!("{} of {} generators ready", generators.ready, generators.wanted),
        State::Waiting => format!("load begins in {}", duration_s(-frame.t_s.unwrap_or(0.0).floor())),
        State::Running => "running".to_owned(),
        State::Ending => "ending".to_owned(),
        State::Done => "done".to_owned(),
    }
}

fn time(frame: &Frame) -> String {
    let t_s = frame.t_s.unwrap_or(0.0).clamp(0.0, frame.duration_s).floor();
    format!("{} of {}", duration_s(t_s), duration_s(frame.duration_s))
}

/// Without data it is too early to say so.
fn fails(threshold: &Threshold) -> bool {
    !threshold.passed && threshold.value.is_some()
}

/// Those that fail first; if there is no room for all, how many more there are.
fn threshold_lines(frame: &Frame, height: u16) -> Vec<Line<'static>> {
    let mut all: Vec<&Threshold> = frame.thresholds.iter().collect();
    all.sort_by_key(|threshold| !fails(threshold));
    let room = usize::from(height);
    let shown = if all.len() <= room { room } else { room.saturating_sub(1) };
    let mut lines: Vec<Line<'static>> = all.iter().take(shown).map(|one| threshold_line(one)).collect();
    if all.len() > shown {
        lines.push(Line::styled(format!("   {} more thresholds", all.len() - shown), DIM));
    }
    lines
}

fn threshold_line(threshold: &Threshold) -> Line<'static> {
    let (mark, word, look) = match (fails(threshold), threshold.value) {
        (true, _) => ("✗", "fails", BAD),
        (false, Some(_)) => ("✓", "holds", GOOD),
        (false, None) => ("·", "no data yet", DIM),
    };
    Line::from(vec![
        Span::styled(format!(" {mark} "), look),
        Span::raw(format!("{}  {}  ", threshold_text(threshold), threshold_value(threshold))),
        Span::styled(word, look),
    ])
}

fn number_lines(frame: &Frame) -> Vec<Line<'static>> {
    let now = &frame.now;
    let wrong = if frame.errors > 0 { BAD } else { Look::new() };
    let errors_now = if frame.errors > 0 {
        format!(" · {} errors/s now", significant(now.errors_per_s))
    } else {
        String::new()
    };
    let requests = Line::from(vec![
        Span::raw(format!(" requests {} · {}/s · ", count(frame.requests), significant(now.rps))),
        Span::styled(errors(frame.errors, frame.requests), wrong),
        Span::raw(errors_now),
    ]);
    let mut classes = vec![Span::raw(" ")];
    for (class, colour) in CLASSES {
        if let Some(rate) = now.classes.get(class) {
            classes.push(Span::styled(format!("{class} "), Look::new().fg(colour)));
            classes.push(Span::raw(format!("{}/s   ", significant(*rate))));
        }
    }
    let all = frame.response_time_ms;
    let mut times = vec![Span::raw(" now ")];
    for ((name, colour), value) in QUANTILES.iter().zip([now.p50_ms, now.p95_ms, now.p99_ms]) {
        times.push(Span::styled(format!("{name} "), Look::new().fg(*colour)));
        times.push(Span::raw(format!("{}  ", ms(value))));
    }
    times.push(Span::styled(
        format!("· all {} {} {} max {}", ms(all.p50), ms(all.p95), ms(all.p99), ms(all.max)),
        DIM,
    ));
    vec![Line::raw(users(frame)), requests, Line::from(classes), Line::from(times)]
}

/// What the target's own instruments said last, as many as fit into some lines; how long ago, if that is long.
fn instrument_lines(all: &[Instrument], width: usize, room: usize) -> Vec<Line<'static>> {
    let texts = all.iter().map(|instrument| {
        let Instrument { name, unit, value, age_s, .. } = instrument;
        let unit = if unit.is_empty() { String::new() } else { format!(" {}", cut(unit, MOST_UNIT)) };
        let age = if *age_s >= LONG_AGO_S {
            format!(" ({} ago)", duration_s(age_s.floor()))
        } else {
            String::new()
        };
        format!("{} {}{unit}{age}", cut(name, MOST_NAME), plain_number(*value))
    });
    let (mut lines, mut shown): (Vec<String>, usize) = (Vec::new(), 0);
    for text in texts {
        // Room for how many there are besides.
        let fits = |line: &&mut String| line.chars().count() + text.chars().count() + 14 <= width;
        let has_room = lines.len() < room;
        match lines.last_mut().filter(fits) {
            Some(line) => line.extend([" · ", &*text]),
            None if has_room => lines.push(format!(" {text}")),
            None => break,
        }
        shown += 1;
    }
    if let Some(line) = lines.last_mut().filter(|_| shown < all.len()) {
        line.extend([" · ", &*(all.len() - shown).to_string(), " more"]);
    }
    lines.into_iter().map(|line| Line::styled(line, DIM)).collect()
}

/// A number of any size, to three digits.
fn plain_number(value: f64) -> String {
    if value.abs() >= 99.95 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", significant(value.abs()));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 6")]
    let digits = if value == 0.0 { 0 } else { (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Who makes the load, and how much comes.
fn users(frame: &Frame) -> String {
    let (now, generators) = (&frame.now, frame.generators);
    let mut words =
        vec![format!(" users {}", count(now.users)), format!("in flight {}", count(now.in_flight))];
    if now.arrivals_per_s > 0.0 || frame.dropped > 0 {
        words.push(format!("arrivals {}/s", significant(now.arrivals_per_s)));
    }
    if frame.dropped > 0 {
        words.push(format!("dropped {}", count(frame.dropped)));
    }
    words.push(format!("generators {} running", generators.running));
    let others = [
        (generators.ended, "ended"),
        (generators.spare, "spare"),
        (generators.late, "late"),
        (generators.duplicate, "duplicate"),
    ];
    let others = others.into_iter().filter(|(number, _)| *number > 0);
    let others: String = others.map(|(number, word)| format!(", {number} {word}")).collect();
    words.join(" · ") + &others
}

fn errors(errors: u64, requests: u64) -> String {
    match errors {
        0 => "no errors".to_owned(),
        _ => format!("{} errors ({})", count(errors), percent(errors as f64 / requests.max(1) as f64)),
    }
}

fn ms(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), duration_ms)
}

fn endpoint_table(canvas: &mut Canvas<'_>, area: Rect, shown: &Shown, frame: &Frame) {
    let mut endpoints: Vec<&Endpoint> = frame.endpoints.iter().collect();
    shown.sort.sort(&mut endpoints);
    let columns = ["endpoint", "requests", "rps", "p50", "p95", "p99", "max", "errors"];
    let header = columns.map(|column| {
        let look = if column == shown.sort.name() { BOLD } else { DIM };
        match column {
            "endpoint" => Line::styled(" endpoint", look),
            _ => Line::styled(column, look).alignment(Alignment::Right),
        }
    });
    let widths = COLUMN_WIDTHS.map(Constraint::Length);
    let widths = std::iter::once(Constraint::Min(16)).chain(widths);
    let room = usize::from(area.width).saturating_sub(COLUMN_WIDTHS.iter().map(|w| usize::from(w + 1)).sum());
    let rows = endpoints.into_iter().skip(shown.first).map(|endpoint| endpoint_row(endpoint, room));
    canvas.render_widget(Table::new(rows, widths).header(Row::new(header)), area);
}

fn endpoint_row(endpoint: &Endpoint, room: usize) -> Row<'_> {
    let times = endpoint.response_time_ms;
    let numbers = [
        count(endpoint.requests),
        significant(endpoint.rps),
        ms(times.p50),
        ms(times.p95),
        ms(times.p99),
        ms(times.max),
        if endpoint.errors == 0 { "–".to_owned() } else { count(endpoint.errors) },
    ];
    let look = if endpoint.errors > 0 { Look::new().fg(Color::Red) } else { Look::new() };
    let name = Line::raw(format!(" {}", cut(&endpoint.name, room.saturating_sub(1))));
    let cells = numbers.into_iter().map(|text| Line::raw(text).alignment(Alignment::Right));
    Row::new(std::iter::once(name).chain(cells)).style(look)
}

/// A name, with a sign that it goes on if there is no room for all of it.
fn cut(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    let kept: String = name.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn footer(shown: &Shown) -> Line<'static> {
    if shown.overlay == Overlay::AskToStop {
        return Line::styled(" Stop the load? Its report is still made.  y yes · any other key no", BOLD);
    }
    let mut words = vec![Span::styled(" ? help · p pause · s sort · q stop", DIM)];
    if shown.sort != Sort::default() {
        words.push(Span::styled(format!(" · by {}", shown.sort.name()), DIM));
    }
    if shown.stopping {
        words.push(Span::styled("   stopping; Ctrl-C leaves at once", BOLD));
    } else if shown.paused {
        words.push(Span::styled("   the view is paused, the load is not", BOLD));
    }
    Line::from(words)
}

fn help(canvas: &mut Canvas<'_>, area: Rect, page: Option<&str>) {
    let text = [
        "p, space   let the view stand still; the load goes on",
        "s          sort endpoints by another column",
        "up, down   scroll endpoints",
        "q          stop the load, after a question; its report is made",
        "Ctrl-C     stop the load; once more to leave at once",
        "any key    back",
    ];
    let mut lines: Vec<Line<'_>> = text.map(|line| Line::raw(format!(" {line}"))).to_vec();
    lines.extend(page.map(|page| Line::raw(format!(" {page}"))));
    let (width, height) = (66.min(area.width), (rows(lines.len()) + 2).min(area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 2);
    let place = Rect { x, y, width, height };
    canvas.render_widget(Clear, place);
    canvas.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), place);
}

fn rows(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
