use minijinja::Value;

use super::*;
use crate::expression::{Constants, from_json};
use crate::random::iteration_stream;

fn scope() -> Arc<Scope> {
    let constants = Constants {
        variables: vec![("currency".to_owned(), Value::from("USD")), ("count".to_owned(), Value::from(3))],
        env: Value::from(std::collections::BTreeMap::from([("HOST", "example.test")])),
        ..Constants::default()
    };
    let scope = Scope::new(Arc::new(constants), 7, iteration_stream(1, 0, 7, 0));
    scope.set("job", from_json(&serde_json::json!({"id": "a/b c", "status": "completed", "price": 12.0})));
    scope
}

fn render_text(text: &str) -> Result<String, String> {
    let mut builder = ProgramBuilder::new();
    let template = builder.template(text).map_err(|error| error.to_string())?;
    let program = builder.finish().map_err(|error| error.to_string())?;
    let mut out = String::new();
    template.render(&program, &scope(), &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

fn render_url(text: &str) -> (String, String) {
    let mut builder = ProgramBuilder::new();
    let url = builder.url(text).unwrap();
    let mut out = String::new();
    url.render(&builder.finish().unwrap(), &scope(), &mut out).unwrap();
    (url.name().to_owned(), out)
}

#[test]
fn texts_are_cut_at_their_expressions() {
    let check = |text: &str, expected: Result<&str, &str>| {
        assert_eq!(render_text(text).as_deref().map_err(String::as_str), expected, "{text}");
    };
    check("plain", Ok("plain"));
    check("", Ok(""));
    check("{{ currency }}", Ok("USD"));
    check("in {{ currency }} × {{count}}", Ok("in USD × 3"));
    check("{{ '}}' }}{{ {'a': {'b': 1}} }}", Ok("}}{\"a\":{\"b\":1}}"));
    check("{{ job.price }}", Ok("12"));
    check("{{ vu.id }}/{{ iteration }}/{{ env.HOST }}", Ok("7/0/example.test"));
    check("{{ missing | default('x') }}", Ok("x"));
    check("{{ missing }}", Err("variable `missing` is undefined"));
    check("{{ job.nothing }}", Err("variable `job.nothing` is undefined"));
    check("{{ currency ~ missing.deep }}", Err("variable `missing.deep` is undefined"));
    check("{{ open", Err("`{{` is never closed by `}}`"));
    check("{% if x %}", Err("`{% %}` blocks are not part of the language; steps have conditions instead"));
}

#[test]
fn urls_are_encoded_by_component_and_named_without_values() {
    let check = |text: &str, name: &str, url: &str| {
        assert_eq!(render_url(text), (name.to_owned(), url.to_owned()), "{text}");
    };
    check("/jobs/{{ job.id }}", "/jobs/:id", "/jobs/a%2Fb%20c");
    check("/jobs/{{ job.id | raw }}", "/jobs/:id", "/jobs/a/b c");
    check("/p?currency={{ currency }}&x=1", "/p", "/p?currency=USD&x=1");
    check("{{ job.id }}/tail", ":id/tail", "a/b c/tail");
    check("https://{{ env.HOST }}/a", "/a", "https://example.test/a");
    check("https://example.test", "/", "https://example.test");
    check("/x/{{ random_int(4, 4) }}", "/x/:random_int", "/x/4");
}

#[test]
fn json_keeps_native_types() {
    let mut builder = ProgramBuilder::new();
    let node = JsonNode::Object(vec![
        ("a\"".to_owned(), JsonNode::Text(builder.template("{{ count }}").unwrap())),
        (
            "b".to_owned(),
            JsonNode::Array(vec![
                JsonNode::Null,
                JsonNode::Text(builder.template("n={{ count }}\n").unwrap()),
            ]),
        ),
        ("c".to_owned(), JsonNode::Text(builder.template("{{ job }}").unwrap())),
        ("d".to_owned(), JsonNode::Text(Template::literal("{{ raw }}"))),
    ]);
    let template = JsonTemplate::new(&node);
    assert_eq!(template.expressions().count(), 3);
    let mut out = String::new();
    template.render(&builder.finish().unwrap(), &scope(), &mut out).unwrap();
    let expected =
        r#"{"a\"":3,"b":[null,"n=3\n"],"c":{"id":"a/b c","status":"completed","price":12},"d":"{{ raw }}"}"#;
    assert_eq!(out, expected);
}

#[test]
fn an_undefined_chain_is_undefined_in_a_condition() {
    let check = |text: &str, expected: bool| {
        let mut builder = ProgramBuilder::new();
        let condition = builder.condition(text).unwrap();
        assert_eq!(builder.finish().unwrap().holds(condition, &scope()).unwrap(), expected, "{text}");
    };
    check("job.status in ['completed', 'failed']", true);
    check("cart.id is defined", false);
    check("cart.a.b.c == 1", false);
    check("job is defined and count == 3", true);
}

#[test]
fn the_same_stream_gives_the_same_choices() {
    let choices =
        || render_text("{{ random_choice(['a', 'b', 'c']) }} {{ random_int(1, 6) }} {{ uuid() }}").unwrap();
    assert_eq!(choices(), choices());
    let uuid = choices().rsplit(' ').next().unwrap().to_owned();
    assert_eq!((uuid.len(), uuid.as_bytes()[14], b"89ab".contains(&uuid.as_bytes()[19])), (36, b'4', true));
}

#[test]
fn mistakes_know_their_place_in_the_text() {
    let mut builder = ProgramBuilder::new();
    let error = builder.template("abc {{ 1 + }} def").unwrap_err();
    let at = error.at.unwrap();
    assert!((7..13).contains(&at.start) && at.end <= 13, "{at:?}");
}

#[test]
fn made_up_values_are_of_the_stream_and_look_like_what_they_are_called() {
    for name in crate::expression::fakes() {
        let text = format!("{{{{ fake.{name}() }}}}");
        let (first, again) = (render_text(&text), render_text(&text));
        assert!(first.as_ref().is_ok_and(|made| !made.is_empty()), "{name}: {first:?}");
        assert_eq!(first, again, "{name}");
    }
    let many = |name: &str| {
        let text = render_text(&format!("{{{{ fake.{name}() }}}}|").repeat(200)).unwrap();
        text.trim_end_matches('|').split('|').map(str::to_owned).collect::<Vec<_>>()
    };
    let emails = many("email");
    let is_email = |text: &String| {
        let (name, host) = text.split_once('@').unwrap();
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') && host.starts_with("example.")
    };
    assert!(emails.iter().all(is_email), "{emails:?}");
    assert_eq!(emails.iter().collect::<std::collections::BTreeSet<_>>().len(), 200);
    assert!(
        many("ipv6")
            .iter()
            .all(|text| text.starts_with("2001:db8::") && text.parse::<std::net::Ipv6Addr>().is_ok())
    );
    assert!(
        many("latitude").iter().all(|text| text.parse::<f64>().is_ok_and(|degrees| degrees.abs() <= 90.0))
    );
    assert!(render_text("{{ fake.name(1) }}").is_err());
    assert!(render_text("{{ fake.nothing() }}").is_err());
    assert_eq!(render_text("{{ fake.name() ~ missing }}"), Err("variable `missing` is undefined".to_owned()));
}
