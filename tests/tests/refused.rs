//! Plans with a mistake: the real command refuses every one, at its line, as what it is, and lives on. The table prints
//! itself: `--success-output immediate`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use squall_tests::Place;

/// A plan and what is said about it first.
struct Row {
    title: String,
    plan: Vec<u8>,
    /// The files that it names.
    files: Vec<(String, String)>,
    severity: &'static str,
    line: u64,
    code: String,
    /// Words of the message or of the hint.
    words: String,
}

/// The rows of `plans/refused.txt`, whose form is told at its beginning.
fn written() -> Vec<Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/refused.txt");
    let text = fs::read_to_string(file).unwrap();
    text.split("\n== ").skip(1).map(row).collect()
}

fn row(text: &str) -> Row {
    let (title, text) = text.split_once('\n').unwrap();
    let mut parts = text.split("\n-- ");
    let plan = parts.next().unwrap();
    let files = parts.map(|part| part.split_once(" --\n").unwrap());
    let files = files.map(|(name, content)| (name.to_owned(), content.to_owned())).collect();
    let marked = (1..).zip(plan.lines()).find_map(|(number, line)| {
        let (severity, mark) = [("error", "#! "), ("warning", "#? ")]
            .into_iter()
            .find_map(|(severity, mark)| Some((severity, line.split_once(mark)?.1)))?;
        let (code, words) = mark.split_once(": ").unwrap_or((mark, ""));
        Some((number, severity, code.to_owned(), words.to_owned()))
    });
    assert!(marked.is_some(), "`{title}` has no mark");
    let (line, severity, code, words) = marked.unwrap();
    Row { title: title.to_owned(), plan: plan.into(), files, severity, line, code, words }
}

/// What nobody would write down.
fn made() -> Vec<Row> {
    let error = |title: &str, plan: Vec<u8>, line, code: &str, words: &str| Row {
        title: title.to_owned(),
        plan,
        files: Vec::new(),
        severity: "error",
        line,
        code: code.to_owned(),
        words: words.to_owned(),
    };
    let good = |step: &str| {
        let start = "target: http://127.0.0.1:1\nload: { users: 1, duration: 1s }\n";
        format!("{start}scenarios:\n  a:\n    steps:\n      - {step}\n").into_bytes()
    };
    let laughs: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect();
    let blocks: String = (0..100).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let mut not_utf8 = good("get: /");
    not_utf8.extend(b"# \xff\n");
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let utf16 = "\u{feff}target: http://127.0.0.1:1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        error(
            "a billion laughs",
            format!("a0: &a0 [lol]\n{laughs}").into_bytes(),
            6,
            "yaml",
            "more than 100000 values",
        ),
        error(
            "lists in lists",
            good(&format!("get: {}", nested("[", "]"))),
            6,
            "yaml",
            "nested more than 64 deep",
        ),
        error("mappings in mappings", blocks.into_bytes(), 65, "yaml", "nested more than 64 deep"),
        error(
            "10 MB of plan",
            good(&format!("get: /{}", "x".repeat(10 << 20))),
            1,
            "yaml",
            "keep data in files",
        ),
        error("10 MB of comments", vec![b'#'; 10 << 20], 1, "yaml", "keep data in files"),
        error("bytes that are no characters", not_utf8, 7, "not-utf-8", "save the file as UTF-8"),
        error("UTF-16", utf16, 1, "not-utf-8", "save the file as UTF-8"),
        error(
            "an expression in brackets in brackets",
            good(&format!("get: \"/{{{{ {} }}}}\"", nested("(", ")"))),
            6,
            "expression-syntax",
            "",
        ),
        error(
            "a condition in brackets in brackets",
            good(&format!("{{ if: \"{}\", then: [ {{ get: / }} ] }}", nested("(", ")"))),
            6,
            "expression-syntax",
            "",
        ),
        error(
            "a JSONPath in brackets in brackets",
            good(&format!("{{ get: /, capture: {{ a: \"$[?{}]\" }} }}", nested("(", ")"))),
            6,
            "json-path",
            "",
        ),
        error(
            "a regular expression in brackets in brackets",
            good(&format!("{{ get: /, expect: {{ regex: \"{}\" }} }}", nested("(", ")"))),
            6,
            "regex",
            "",
        ),
    ]
}

#[test]
fn every_broken_plan_is_refused_at_its_line_as_what_it_is() {
    let place = Place::new();
    let rows: Vec<Row> = written().into_iter().chain(made()).collect();
    assert!(rows.len() >= 70, "{} rows", rows.len());
    println!();
    let wrong: Vec<String> = rows.iter().filter_map(|row| check(&place, row).err()).collect();
    println!("{} plans", rows.len());
    assert!(wrong.is_empty(), "{} of {} rows are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Has the command look at a plan, and prints what it says first.
fn check(place: &Place, row: &Row) -> Result<(), String> {
    for (name, content) in &row.files {
        place.write(name, content);
    }
    fs::write(place.path().join("plan.yaml"), &row.plan).unwrap();
    let ran = place.run(&["validate", "plan.yaml", "--output", "json"]);
    for (name, _) in &row.files {
        fs::remove_file(place.path().join(name)).unwrap();
    }
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let of_this_kind = |problem: &&Value| problem["severity"] == row.severity;
    let problems = told["problems"].as_array().map_or(&[][..], Vec::as_slice);
    let first = problems.iter().find(of_this_kind).cloned().unwrap_or_default();
    let (line, code) = (first["from"]["line"].as_u64(), first["code"].as_str().unwrap_or("-"));
    let text = |key: &str| first[key].as_str().unwrap_or_default();
    let (message, hint) = (text("message"), text("hint"));
    let short: String = message.chars().take(70).collect();
    println!("{:>4} {code:<19} {:<48} {short}", line.unwrap_or(0), row.title);
    let expected_code = if row.severity == "error" { 104 } else { 0 };
    let is_right = ran.code == expected_code
        && (line, code) == (Some(row.line), row.code.as_str())
        && (message.contains(&row.words) || hint.contains(&row.words))
        && !ran.stderr.contains("panicked");
    if is_right {
        return Ok(());
    }
    let (title, line, code, words) = (&row.title, row.line, &row.code, &row.words);
    let stderr: String = ran.stderr.chars().take(300).collect();
    Err(format!(
        "{title}: expected `{code}` in line {line} with `{words}`; exit code {}, {first}\n{stderr}",
        ran.code
    ))
}
