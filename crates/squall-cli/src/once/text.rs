//! What happens, for people.

use std::fmt::Write;

use squall_engine::{Content, Event, Exchange, Hop, Link, Parts};
use squall_report::{ExitCode, Style, to_ascii};

/// Columns of a terminal that everybody has.
const WIDTH: usize = 80;

/// Bold, red, green, and what is of less interest.
const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const DIM: &str = "2";

/// An event, with a line break at its end.
pub(super) fn event(event: &Event, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    match event {
        Event::Part { scenario, part } => page.part(scenario, part),
        Event::Flow(text) => page.line("  ", &[(DIM, "·"), ("", &one_line(text))]),
        Event::Failed(text) => page.line("  ", &[(RED, "✗"), (RED, &one_line(text))]),
        Event::Exchange(exchange) => page.exchange(exchange),
    }
    if style.ascii { to_ascii(&page.out) } else { page.out }
}

/// The last line.
pub(super) fn summary(words: &str, seed: u64, exit: ExitCode, style: Style) -> String {
    let (word, colour) = match exit {
        ExitCode::Passed => ("PASSED", GREEN),
        ExitCode::Interrupted => ("INTERRUPTED", RED),
        ExitCode::Invalid => ("INVALID", RED),
        _ => ("FAILED", RED),
    };
    let page = Page { out: String::new(), style };
    let line = format!("\n {}  {words} · seed {seed:x}\n", page.painted(&format!("1;{colour}"), word));
    if style.ascii { to_ascii(&line) } else { line }
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    /// A text in a colour, where colours are wanted.
    fn painted(&self, colour: &str, text: &str) -> String {
        if self.style.colour && !colour.is_empty() {
            format!("\u{1b}[{colour}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, indent: &str, words: &[(&str, &str)]) {
        let words = words.iter().filter(|(_, text)| !text.is_empty());
        let words: Vec<String> = words.map(|(colour, text)| self.painted(colour, text)).collect();
        let _ = writeln!(self.out, "{indent}{}", words.join(" "));
    }

    fn part(&mut self, scenario: &str, part: &str) {
        let title = format!("{} · {}", one_line(scenario), one_line(part));
        let rule = "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4).max(2));
        let (title, rule) = (self.painted(BOLD, &title), self.painted(DIM, &rule));
        let left = self.painted(DIM, "──");
        let _ = writeln!(self.out, "\n{left} {title} {rule}");
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let times = exchange.hops.len();
        for hop in &exchange.hops {
            self.out.push('\n');
            self.hop(hop, &exchange.name);
        }
        if times == 0 {
            self.out.push('\n');
            self.line("", &[(BOLD, &one_line(&exchange.name)), ("", "was not sent")]);
        }
        self.out.push('\n');
        for check in &exchange.checks {
            let (colour, mark) = if check.passed { (GREEN, "✓") } else { (RED, "✗") };
            let found = check.found.as_ref().filter(|_| !check.passed);
            let found = found.map_or(String::new(), |found| format!(" – found {}", one_line(found)));
            self.line("  ", &[(colour, mark), ("", &format!("{}{found}", one_line(&check.what)))]);
        }
        for (name, value) in &exchange.captures {
            self.line("  ", &[(GREEN, "="), ("", &format!("{name}: {}", one_line(value)))]);
        }
        for problem in &exchange.problems {
            self.line("  ", &[(RED, "✗"), ("", &one_line(problem))]);
        }
        if exchange.failed {
            let why = match exchange.outcome.as_str() {
                outcome if outcome.parse::<u16>().is_ok() => format!("status {outcome}"),
                outcome => outcome.replace('_', " "),
            };
            self.line(
                "  ",
                &[(RED, "✗"), ("1;31", &format!("FAILED: {why}")), (DIM, &took(exchange.took_us))],
            );
        } else if exchange.checks.is_empty() {
            self.line("  ", &[(GREEN, "✓"), ("", &format!("status {}", exchange.outcome))]);
        }
    }

    fn hop(&mut self, hop: &Hop, name: &str) {
        let own_name = format!("{} {}", hop.method, path(&hop.url));
        let name = if own_name == name { String::new() } else { format!("({})", one_line(name)) };
        self.line("", &[(BOLD, &hop.method), (BOLD, &one_line(&hop.url)), (DIM, &name)]);
        match &hop.sent {
            Some(parts) => self.parts(parts),
            None => self.line("  ", &[(DIM, "was not sent")]),
        }
        let mut facts: Vec<String> = Vec::new();
        facts.extend(hop.connection.as_ref().map(link));
        let all: u64 = hop.phases.iter().map(|(_, us)| us).sum();
        facts.push(format!("{} ms", milliseconds(all)));
        let phases =
            hop.phases.iter().map(|(name, us)| format!("{} {}", name.replace('_', " "), milliseconds(*us)));
        let phases = phases.collect::<Vec<_>>().join(" · ");
        self.out.push('\n');
        match hop.status {
            Some(status) => {
                let colour = if status < 400 { "1;32" } else { "1;31" };
                let reason = [status.to_string(), hop.reason.to_owned()].join(" ");
                let facts = format!("· {}", facts.join(" · "));
                self.line("", &[(colour, reason.trim_end()), ("", &facts)]);
            }
            None => {
                let facts = format!("· {}", facts.join(" · "));
                self.line("", &[("1;31", "no response"), ("", &facts)]);
            }
        }
        if !phases.is_empty() {
            self.line("  ", &[(DIM, &phases)]);
        }
        hop.received.iter().for_each(|parts| self.parts(parts));
        if let Some(then) = &hop.then {
            self.out.push('\n');
            self.line("  ", &[(DIM, "→"), ("", &one_line(then))]);
        }
    }

    fn parts(&mut self, parts: &Parts) {
        for (name, value) in &parts.headers {
            let name = self.painted(DIM, &format!("{name}:"));
            let _ = writeln!(self.out, "  {name} {}", one_line(value));
        }
        self.content(&parts.content);
    }

    fn content(&mut self, content: &Content) {
        if content.bytes == 0 {
            return;
        }
        self.out.push('\n');
        match &content.text {
            None => self.line("  ", &[(DIM, &format!("{} that are no text", bytes(content.bytes)))]),
            Some(text) => {
                let text = if content.json { pretty(text) } else { text.clone() };
                for line in text.lines() {
                    let _ = writeln!(self.out, "  {}", printable(line));
                }
                if content.cut {
                    self.line("  ", &[(DIM, &format!("… {} in all", bytes(content.bytes)))]);
                }
            }
        }
    }
}

fn link(link: &Link) -> String {
    let protocol = if link.http2 { "HTTP/2" } else { "HTTP/1.1" };
    let remote = link.remote.as_ref().map_or(String::new(), |remote| format!(" to {remote}"));
    format!("{protocol} · {} connection{remote}", if link.reused { "kept" } else { "new" })
}

fn took(us: u64) -> String {
    format!("after {} ms", milliseconds(us))
}

fn milliseconds(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    if us < 10_000 {
        format!("{ms:.2}")
    } else if us < 100_000 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

fn bytes(number: u64) -> String {
    format!("{number} byte{}", if number == 1 { "" } else { "s" })
}

/// The path of a URL, without its query.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// A text that stays where it is printed.
fn one_line(text: &str) -> String {
    printable(text).replace('\n', "\\n")
}

/// A text without what would command the terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON with line breaks and indents. Its numbers and texts stay as they are written, also where it is cut off.
fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    };
    let mut last = ' ';
    for c in json.chars() {
        if in_text {
            out.push(c);
            (in_text, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        if c.is_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        let after_open = matches!(last, '{' | '[');
        if closes {
            depth = depth.saturating_sub(1);
        }
        if closes != after_open || last == ',' {
            newline(&mut out, depth);
        }
        match c {
            ':' => out.push_str(": "),
            c => out.push(c),
        }
        in_text = c == '"';
        if matches!(c, '{' | '[') {
            depth += 1;
        }
        last = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_tokens() {
        let check = |json: &str, expected: &str| assert_eq!(pretty(json), expected);
        check("{}", "{}");
        check("[ ]", "[]");
        check("7", "7");
        check(
            "{\"a\":[1.0e5, 12345678901234567890],\"b c\":\"x,\\\"{\",\"d\":{},\"e\":[[]]}",
            "{\n  \"a\": [\n    1.0e5,\n    12345678901234567890\n  ],\n  \"b c\": \"x,\\\"{\",\n  \"d\": {},\n  \"e\": [\n    []\n  ]\n}",
        );
        check("{\"a\":[1,", "{\n  \"a\": [\n    1,");
    }

    #[test]
    fn nothing_that_is_printed_commands_the_terminal() {
        assert_eq!(one_line("a\u{1b}[31m\nb\r"), "a\\u{1b}[31m\\nb\\r");
    }
}
