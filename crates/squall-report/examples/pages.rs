//! Writes pages of many kinds of results into a folder, and says how large they are and how long they took:
//! `cargo run --release -p squall-report --example pages -- FOLDER [RESULT.json …]`

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "it is run by hand, and watches the clock"
)]

#[path = "../tests/html/sample.rs"]
mod sample;

use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use squall_report::{RunResult, from_json, html};

fn main() {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "pages".to_owned());
    fs::create_dir_all(&folder).unwrap();
    let page = |name: &str, result: &RunResult| {
        let begin = Instant::now();
        let page = html(result);
        println!("{name:<16} {:>9} bytes {:>6} ms", page.len(), begin.elapsed().as_millis());
        fs::write(Path::new(&folder).join(format!("{name}.html")), page).unwrap();
    };
    page("empty", &sample::empty());
    page("one", &sample::full(1, 1));
    page("errors", &sample::only_errors());
    page("20x900", &RunResult { telemetry: sample::telemetry(900), ..sample::full(20, 900) });
    page("200x3600", &sample::full(200, 3_600));
    page("5000-names", &sample::full(5_000, 60));
    page("day", &sample::day());
    page("500-generators", &sample::many_generators(500));
    for (index, path) in arguments.enumerate() {
        page(&format!("own-{index}"), &from_json(&fs::read_to_string(path).unwrap()).unwrap());
    }
}
