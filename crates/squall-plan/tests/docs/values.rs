//! Tables of expressions and their values.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use minijinja::Value;
use squall_plan::expression::{Constants, Response, Scope};
use squall_plan::random::iteration_stream;
use squall_plan::{Body, Flow, Plan, SecretValues, Share, Step, compile};

use crate::example::bundle;
use crate::markdown::{Block, Page, code};

/// What time it is in the examples: noon of 25 November 2026.
const NOW_MS: i64 = 1_795_608_000_000;

/// A page's expressions, as they are written.
pub(crate) fn expressions(page: &Page) -> Vec<String> {
    let tables = page.tables();
    let columns = tables.iter().flat_map(|table| {
        let firsts = ["expression", "condition"].into_iter();
        firsts.flat_map(move |first| {
            let seconds = ["result", "for example", "holds"].into_iter();
            seconds.filter_map(move |second| table.columns(first, second))
        })
    });
    columns.flatten().filter_map(|(_, cell, _)| Some(code(cell)?.to_owned())).collect()
}

/// Checks every table of a page that says what something comes to. Returns how many rows there were.
pub(crate) fn check(page: &Page) -> usize {
    let (blocks, tables) = (page.blocks(), page.tables());
    // What the page's expressions see.
    let context = blocks.iter().find(|block| block.has("context")).map_or("", |block| block.text.as_str());
    let mut rows = 0;
    let mut check = |line: usize, cell: &str, found: Result<String, String>, expected: &str| {
        let place = format!("{}:{line}: {cell}", page.path);
        let found = found.unwrap_or_else(|problem| format!("fails: {problem}"));
        let expected = code(expected).unwrap_or(expected);
        assert_eq!(found, expected, "{place}");
        rows += 1;
    };
    for table in &tables {
        let columns = |first, second| table.columns(first, second).unwrap_or_default();
        for (line, cell, result) in columns("expression", "result") {
            check(line, cell, text_of(&blocks, context, code(cell).unwrap()), result);
        }
        for (line, cell, _) in columns("expression", "for example") {
            let found = text_of(&blocks, context, code(cell).unwrap());
            assert!(found.is_ok(), "{}:{line}: {found:?}", page.path);
        }
        for (line, cell, holds) in columns("condition", "holds") {
            check(line, cell, decision(&blocks, context, code(cell).unwrap()), holds);
        }
        for (line, cell, sent) in columns("json", "sent") {
            check(line, cell, json(&blocks, context, code(cell).unwrap()), sent);
        }
        for (line, cell, sent) in columns("url", "sent") {
            check(line, cell, url(&blocks, context, code(cell).unwrap()).map(|(sent, _)| sent), sent);
        }
        for (line, cell, name) in columns("url", "name") {
            check(line, cell, url(&blocks, context, code(cell).unwrap()).map(|(_, name)| name), name);
        }
    }
    rows
}

/// An expression as a text.
fn text_of(blocks: &[Block], context: &str, expression: &str) -> Result<String, String> {
    let plan = plan(blocks, context, &format!("{{ log: {} }}", quoted(&format!("{{{{ {expression} }}}}"))))?;
    let mut text = String::new();
    match step(&plan) {
        Step::Log(template) => template.render(&plan.program, &scope(&plan), &mut text),
        _ => unreachable!("the step is a log"),
    }
    .map_err(|error| error.to_string())?;
    Ok(text)
}

fn decision(blocks: &[Block], context: &str, condition: &str) -> Result<String, String> {
    let plan = plan(blocks, context, &format!("{{ if: {}, then: [ {{ get: / }} ] }}", quoted(condition)))?;
    match step(&plan) {
        Step::If(branch) => plan.program.holds(branch.condition, &scope(&plan)),
        _ => unreachable!("the step is a decision"),
    }
    .map(|holds| if holds { "yes" } else { "no" }.to_owned())
    .map_err(|error| error.to_string())
}

/// A value of YAML as it is sent as JSON.
fn json(blocks: &[Block], context: &str, value: &str) -> Result<String, String> {
    let plan = plan(blocks, context, &format!("{{ post: /, json: {value} }}"))?;
    let mut text = String::new();
    match step(&plan) {
        Step::Request(request) => match &request.body {
            Body::Json(json) => json.render(&plan.program, &scope(&plan), &mut text),
            _ => unreachable!("the body is JSON"),
        },
        _ => unreachable!("the step is a request"),
    }
    .map_err(|error| error.to_string())?;
    Ok(text)
}

/// A URL as it is sent, and the request's name.
fn url(blocks: &[Block], context: &str, url: &str) -> Result<(String, String), String> {
    let plan = plan(blocks, context, &format!("{{ get: {} }}", quoted(url)))?;
    let mut text = String::new();
    match step(&plan) {
        Step::Request(request) => request.url.render(&plan.program, &scope(&plan), &mut text),
        _ => unreachable!("the step is a request"),
    }
    .map_err(|error| error.to_string())?;
    Ok((text, plan.series[0].endpoint.clone()))
}

fn plan(blocks: &[Block], context: &str, step: &str) -> Result<Plan, String> {
    let text = format!(
        "target: http://127.0.0.1:8080\nallow: [ \"*.example.com\" ]\nload: {{ users: 1, duration: 1s }}\n{context}\n\
         scenarios:\n  example:\n    steps:\n      - {step}\n"
    );
    let compiled = compile(&bundle(blocks, &text));
    compiled.map(|compiled| compiled.plan).map_err(|problems| {
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        messages.join("; ")
    })
}

fn step(plan: &Plan) -> &Step {
    match &plan.scenarios[0].flow {
        Flow::Steps(steps) => &steps[0],
        Flow::Tasks(_) => unreachable!("the scenario has steps"),
    }
}

/// User number 7 in its third iteration, after a response.
fn scope(plan: &Plan) -> Arc<Scope> {
    let secrets = SecretValues::from_iter([("password".to_owned(), "pw-7".to_owned())]);
    let constants = Constants {
        variables: plan.variables.clone(),
        env: Value::from(plan.env.clone()),
        now_ms: Some(|| NOW_MS),
        data: Arc::clone(&plan.data),
        seed: 1,
        run: Constants::run("20261125-115959-8f31c2", "shop", 1, NOW_MS),
        slice: Constants::slice(Share::WHOLE),
        secrets: secrets.value(),
    };
    let scope = Scope::new(Arc::new(constants), 7, iteration_stream(1, 0, 7, 0));
    scope.begin_iteration(3, iteration_stream(1, 0, 7, 3));
    let headers = BTreeMap::from([("content-type", "application/json"), ("x-request-id", "r-17")]);
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    scope.set("response", Response::value(201, &headers, b"{\"id\":17,\"items\":[\"a\",\"b\"]}".to_vec()));
    scope
}

/// A text between single quotes of YAML.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
