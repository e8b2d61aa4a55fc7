//! What happened so far, over time.

use ratatui::Frame as Canvas;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style as Look};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph};
use squall_report::{duration_ms, duration_s, significant};

use super::draw::{DIM, QUANTILES};
use super::keys::{Past, Shown};

/// A line, and how it looks.
type Series<'a> = (Look, &'a [(f64, f64)]);

pub(super) fn requests(canvas: &mut Canvas<'_>, area: Rect, shown: &Shown) {
    let of = |value: fn(&Past) -> u64| -> Vec<(f64, f64)> {
        shown.past.iter().map(|past| (past.t_s, value(past) as f64)).collect()
    };
    let (requests, errors) = (of(|past| past.requests), of(|past| past.errors));
    let mut lines = vec![(Look::new().fg(Color::Cyan), &requests[..])];
    let mut title = vec![Span::raw(" requests/s")];
    if errors.iter().any(|(_, number)| *number > 0.0) {
        lines.push((Look::new().fg(Color::Red), &errors[..]));
        title.push(Span::styled(" errors/s", Look::new().fg(Color::Red)));
    }
    draw(canvas, area, (Line::from(title), significant), &lines);
}

pub(super) fn times(canvas: &mut Canvas<'_>, area: Rect, shown: &Shown) {
    let of = |index: usize| -> Vec<(f64, f64)> {
        shown.past.iter().filter_map(|past| Some((past.t_s, past.quantiles_ms[index]?))).collect()
    };
    let all = [of(0), of(1), of(2)];
    let colours = QUANTILES.iter().map(|(_, colour)| Look::new().fg(*colour));
    let lines: Vec<Series<'_>> = colours.zip(&all).map(|(look, points)| (look, &points[..])).collect();
    let mut title = vec![Span::raw(" response time")];
    title.extend(QUANTILES.iter().map(|(name, colour)| Span::styled(format!(" {name}"), *colour)));
    draw(canvas, area, (Line::from(title), duration_ms), &lines);
}

/// Lines over the time of the run so far, from zero.
fn draw(
    canvas: &mut Canvas<'_>,
    area: Rect,
    (title, show): (Line<'_>, fn(f64) -> String),
    lines: &[Series<'_>],
) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    canvas.render_widget(Paragraph::new(title), head);
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let Some(from) = points().map(|(t_s, _)| *t_s).reduce(f64::min) else { return };
    let until = points().map(|(t_s, _)| *t_s).fold(from + 1.0, f64::max);
    let most = points().map(|(_, value)| *value).fold(0.001, f64::max);
    let datasets = lines.iter().map(|(look, points)| {
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(*look).data(points)
    });
    let ends = [duration_s(from.max(0.0)), duration_s(until)];
    let x = Axis::default().bounds([from, until]).style(DIM).labels(ends);
    let y = Axis::default().bounds([0.0, most * 1.05]).style(DIM).labels(["0".to_owned(), show(most)]);
    canvas.render_widget(Chart::new(datasets.collect()).x_axis(x).y_axis(y), body);
}
