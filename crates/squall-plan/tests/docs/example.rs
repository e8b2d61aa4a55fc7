//! Examples: what stands in a block of YAML, made a whole plan and compiled.

use std::collections::BTreeMap;

use squall_plan::{Bundle, Compiled, Diagnostics, Inputs, compile};

use crate::markdown::{Block, Page};

/// Kinds of fragments: keys of a plan, keys of a scenario, a list of steps.
const FRAGMENTS: [&str; 3] = ["plan", "scenario", "steps"];

/// What a plan that a fragment is put into has where the fragment says nothing.
const REST: [(&str, &str); 3] = [
    ("target", "http://127.0.0.1:8080"),
    ("load", "{ users: 1, duration: 1s }"),
    ("scenarios", "{ example: { steps: [ { get: / } ] } }"),
];

/// Environment variables that examples mention.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("API_KEY", "k1"),
    ("PASSWORD", "secret"),
    ("HOST", "shop.example.com"),
    ("CLIENT_SECRET", "secret"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_SESSION_TOKEN", "token"),
    ("CLIENT_KEY", "-----BEGIN PRIVATE KEY-----"),
];

/// Files that examples mention and no page shows.
const FILES: [(&str, &str); 4] = [
    ("invoice.pdf", "%PDF-1.7\n"),
    ("authority.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
    ("client.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
    ("client.key", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"),
];

/// A block of YAML as a plan.
pub(crate) struct Example {
    /// Where it stands, for messages.
    pub(crate) place: String,
    pub(crate) line: usize,
    pub(crate) bundle: Bundle,
    /// Whether it is to be refused.
    pub(crate) is_wrong: bool,
    /// Whether it is to be warned of.
    pub(crate) is_odd: bool,
}

/// The examples of a page.
pub(crate) fn examples(page: &Page) -> Vec<Example> {
    let blocks = page.blocks();
    // Other programs are configured in YAML, too.
    let own = blocks
        .iter()
        .filter(|block| block.is("yaml") && !block.has("other") && block.list("file").is_empty());
    own.map(|block| example(page, &blocks, block)).collect()
}

fn example(page: &Page, blocks: &[Block], block: &Block) -> Example {
    let place = format!("{}:{}", page.path, block.line);
    Example {
        bundle: bundle(blocks, &whole(&place, block)),
        is_wrong: block.has("error"),
        is_odd: block.has("warning"),
        line: block.line,
        place,
    }
}

/// A plan with the files of a page: those that it shows, and those that need not be shown.
pub(crate) fn bundle(blocks: &[Block], text: &str) -> Bundle {
    let data = blocks.iter().filter(|block| ["csv", "json", "jsonl"].iter().any(|kind| block.is(kind)));
    let data = data.filter_map(|block| Some((block.words.get(1)?.as_str(), block)));
    let included =
        blocks.iter().flat_map(|block| block.list("file").into_iter().map(move |name| (name, block)));
    let shown = data.chain(included).map(|(name, block)| (name.to_owned(), block.text.clone()));
    let given = FILES.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let files: BTreeMap<String, String> = shown.chain(given).collect();
    let env = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inputs = Inputs { env: BTreeMap::from(env), ..Inputs::default() };
    let read = |name: &str| {
        let text = files.get(name).ok_or_else(|| format!("no block of the page is called {name}"))?;
        Ok(text.clone().into_bytes())
    };
    Bundle::new("plan.yaml", text, inputs).with_files(read)
}

/// The text of a plan: the block's own, or one around it.
fn whole(place: &str, block: &Block) -> String {
    let kinds: Vec<&str> = FRAGMENTS.into_iter().filter(|kind| block.has(kind)).collect();
    let given = block.list("given");
    let text = &block.text;
    let inner = match kinds.as_slice() {
        [] => {
            let is_whole = ["target", "scenarios"].iter().any(|key| has_key(text, key));
            assert!(
                is_whole,
                "{place}: no plan; its fence says what it is a part of: {}",
                FRAGMENTS.join(", ")
            );
            assert!(given.is_empty(), "{place}: a plan needs nothing that is not in it");
            return text.clone();
        }
        ["plan"] => text.clone(),
        ["scenario"] if has_key(text, "steps") || has_key(text, "tasks") => {
            format!("scenarios:\n  example:\n{}", indented(text, 4))
        }
        ["scenario"] => format!("scenarios:\n  example:\n{}    steps: [ {{ get: / }} ]\n", indented(text, 4)),
        ["steps"] => format!("scenarios:\n  example:\n    steps:\n{}", indented(text, 6)),
        _ => panic!("{place}: one of {}", FRAGMENTS.join(", ")),
    };
    let rest = REST.iter().filter(|(key, _)| !has_key(&inner, key));
    let rest: String = rest.map(|(key, value)| format!("{key}: {value}\n")).collect();
    let given: Vec<String> = given.iter().map(|name| format!("{name}: {name}")).collect();
    let given =
        if given.is_empty() { String::new() } else { format!("variables: {{ {} }}\n", given.join(", ")) };
    // What stands in the page comes first, so that lines are its own.
    format!("{inner}{rest}{given}")
}

/// Whether a line begins with a key.
fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

impl Example {
    pub(crate) fn compile(&self) -> Result<Compiled, Diagnostics> {
        compile(&self.bundle)
    }

    /// The text as data.
    pub(crate) fn yaml(&self) -> serde_json::Value {
        serde_yaml_ng::from_str(&self.bundle.text).unwrap_or_else(|error| panic!("{}: {error}", self.place))
    }
}
