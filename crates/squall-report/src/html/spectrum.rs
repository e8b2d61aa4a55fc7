//! The percentile spectrum: how long the slowest half, tenth, hundredth and so on of requests took.

use std::io::{Cursor, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use super::markup::{Html, decimal};
use super::plot::{SIZE, Unit, round_step};
use crate::numbers::count;
use crate::result::{Endpoint, Times};

/// A histogram that is larger than this is not from here.
const MAX_BYTES: u64 = 1 << 20;

/// Points of the line for each decimal place.
const STEPS: u32 = 8;

/// Labels of the axis: how many nines, and what is written.
const NINES: [(f64, &str); 7] = [
    (0.301, "50 %"),
    (1.0, "90 %"),
    (2.0, "99 %"),
    (3.0, "99.9 %"),
    (4.0, "99.99 %"),
    (5.0, "99.999 %"),
    (6.0, "99.9999 %"),
];

/// A point: how many nines, and milliseconds.
type Points = Vec<(f64, f64)>;

/// The histogram of a result, unless it is damaged.
fn decode(base64: &str) -> Option<Histogram<u64>> {
    // What is inflated begins with its length, for which room is made: it must not lie.
    let bytes = STANDARD.decode(base64).ok()?;
    let mut inflated = Vec::new();
    ZlibDecoder::new(bytes.get(8..)?).take(MAX_BYTES).read_to_end(&mut inflated).ok()?;
    let length = inflated.get(4..8)?.try_into().ok().map(u32::from_be_bytes)?;
    let digits = inflated.get(12..16)?.try_into().ok().map(u32::from_be_bytes)?;
    let honest = usize::try_from(length).is_ok_and(|length| length <= inflated.len()) && digits <= 3;
    if !honest {
        return None;
    }
    Deserializer::new().deserialize(&mut Cursor::new(inflated)).ok()
}

/// As far as there are requests: of a thousand, nobody knows 99.99 %.
fn response(histogram: &Histogram<u64>) -> Points {
    let all = histogram.len();
    if all == 0 {
        return Points::new();
    }
    let most = (all as f64).log10().min(6.0);
    let steps = (0_u32..).map(|step| f64::from(step) / f64::from(STEPS)).take_while(|nines| *nines < most);
    let at = |nines: f64| {
        let quantile = (1.0 - 10_f64.powf(-nines)).max(f64::MIN_POSITIVE);
        (nines, histogram.value_at_quantile(quantile) as f64 / 1_000.0)
    };
    let last = (most, histogram.max() as f64 / 1_000.0);
    steps.map(at).chain([last]).collect()
}

/// The percentiles that the result has, as far as there are requests.
fn known(times: &Times) -> Points {
    let known = [
        (0.301, times.p50),
        (0.602, times.p75),
        (1.0, times.p90),
        (1.301, times.p95),
        (2.0, times.p99),
        (3.0, times.p999),
    ];
    let most = (times.count.max(1) as f64).log10().min(6.0);
    let known = known.into_iter().filter(|(nines, _)| *nines < most).chain([(most, times.max)]);
    known.filter_map(|(nines, ms)| Some((nines, ms?))).collect()
}

/// The spectrum of an endpoint; nothing if it has no response times.
pub(super) fn draw(html: &mut Html, endpoint: &Endpoint) {
    let mut points = decode(&endpoint.histogram).map(|histogram| response(&histogram)).unwrap_or_default();
    if points.is_empty() {
        points = known(&endpoint.response_time_ms);
    }
    let service = known(&endpoint.service_time_ms);
    let most = points.iter().map(|(nines, _)| *nines).fold(0.0, f64::max);
    let highest = points.iter().chain(&service).map(|(_, ms)| *ms).fold(0.0, f64::max);
    if most <= 0.0 || highest <= 0.0 {
        return;
    }
    let step = round_step(highest / 4.0);
    let top = (highest / step).ceil() * step;
    let label = format!("Percentiles of {} response times", count(endpoint.response_time_ms.count));
    html.element("div", &[("class", "spectrum")], |html| {
        keys(html);
        html.element("div", &[("class", "plot still"), ("role", "img"), ("aria-label", &*label)], |html| {
            let x = |nines: f64| decimal(SIZE.0 * nines / most);
            let y = |ms: f64| decimal(SIZE.1 * (1.0 - ms / top));
            let attributes =
                [("viewBox", "0 0 1000 100"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
            let ticks = || (0..=5).map(|tick| f64::from(tick) * step).filter(|tick| *tick <= top * 1.000_1);
            html.element("svg", &attributes, |html| {
                let grid = ticks().map(|tick| format!("M0 {}H1000", y(tick))).collect::<String>();
                html.leaf("path", &[("class", "grid"), ("d", &grid)], "");
                let line = |points: &Points| {
                    let points = points.iter().map(|(nines, ms)| format!("{} {}", x(*nines), y(*ms)));
                    format!("M{}", points.collect::<Vec<_>>().join("L"))
                };
                html.leaf("path", &[("class", "line flight"), ("d", &line(&service))], "");
                html.leaf("path", &[("class", "line p95"), ("d", &line(&points))], "");
            });
            for tick in ticks() {
                let style = format!("bottom:{}%", decimal(100.0 * tick / top));
                html.leaf("span", &[("class", "y"), ("style", &style)], &Unit::Time.label(tick));
            }
            for (nines, name) in NINES.iter().filter(|(nines, _)| *nines <= most) {
                let style = format!("left:{}%", decimal(100.0 * nines / most));
                html.leaf("span", &[("class", "x"), ("style", &style)], name);
            }
        });
    });
}

fn keys(html: &mut Html) {
    html.element("div", &[("class", "keys")], |html| {
        for (class, name) in [("p95", "response time"), ("flight", "service time")] {
            html.element("span", &[("class", "key")], |html| {
                html.leaf("i", &[("class", class)], "");
                html.text(name);
            });
        }
        html.leaf("span", &[("class", "key quiet")], "by how many requests were at most as slow");
    });
}

#[cfg(test)]
mod tests {
    use squall_metrics::Distribution;

    use super::*;

    #[test]
    fn a_spectrum_ends_with_the_slowest_request() {
        let mut times = Distribution::fine();
        (1..=1_000).for_each(|ms| times.record(ms * 1_000));
        let points = response(&decode(&times.to_base64()).unwrap());
        assert_eq!(points.len(), 3 * 8 + 1);
        let near =
            |at: usize, expected: f64| assert!((points[at].1 / expected - 1.0).abs() < 0.002, "{points:?}");
        near(8, 900.0);
        near(16, 990.0);
        near(24, 1_000.0);
    }

    #[test]
    fn damaged_histograms_are_left_out() {
        let good = Distribution::fine().to_base64();
        assert!(decode(&good).is_some_and(|histogram| response(&histogram).is_empty()));
        for bad in ["", "%", "HISTFAAA", &good[..20], &good[4..]] {
            assert!(decode(bad).is_none(), "{bad}");
        }
        // A length of 4 GB.
        let mut inflated = vec![0x1c, 0x84, 0x93, 0x13, 0xff, 0xff, 0xff, 0xff];
        inflated.extend([0; 40]);
        let mut bytes = vec![0; 8];
        let mut encoder = flate2::write::ZlibEncoder::new(&mut bytes, flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &inflated).unwrap();
        encoder.finish().unwrap();
        assert!(decode(&STANDARD.encode(bytes)).is_none());
    }
}
