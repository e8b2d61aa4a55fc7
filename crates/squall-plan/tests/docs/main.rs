//! The documentation says what is so: its examples compile, its values are those that expressions have, its tables of
//! keys are the compiler's, its links lead somewhere.
//!
//! A block of YAML that is a plan compiles as it stands. What a fence says behind `yaml`: `plan`, `scenario` or `steps`
//! (it is a part of a plan, namely such keys or a list), `given=a,b` (variables that it needs), `error` (it is refused;
//! a block `text problems` behind it says with what), `warning` (it is warned of), `context` (what the tables of the
//! page see), `other` (it is something else). A block `csv NAME`, `json NAME`, `jsonl NAME` or
//! `yaml file=NAME` is a file that the page's plans may mention.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod example;
mod keys;
mod markdown;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use squall_plan::expression::{FUNCTIONS, GLOBALS, Word, fakes};

use crate::example::examples;
use crate::markdown::{Page, pages, root};

/// Where the reference of the language is.
const REFERENCE: &str = "docs/plan/";

#[test]
fn every_example_compiles_without_a_warning_unless_it_is_to_be_wrong() {
    let mut count = 0;
    for page in pages() {
        for example in examples(&page) {
            let text = &example.bundle.text;
            match example.compile() {
                Ok(_) if example.is_wrong => panic!("{}: is not refused\n{text}", example.place),
                Err(_) if example.is_wrong => {}
                Err(problems) => panic!("{}:\n{}", example.place, problems.render(false)),
                Ok(compiled) => assert_eq!(
                    !compiled.warnings.is_empty(),
                    example.is_odd,
                    "{}:\n{}",
                    example.place,
                    compiled.warnings.render(false)
                ),
            }
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn examples_are_good_by_the_schema_too() {
    let validator = jsonschema::validator_for(&squall_plan::schema::schema()).unwrap();
    for example in pages().iter().flat_map(examples).filter(|example| !example.is_wrong) {
        let plan = example.yaml();
        let errors: Vec<String> = validator.iter_errors(&plan).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", example.place);
    }
}

#[test]
fn what_the_compiler_prints_and_its_tables_of_keys_are_current() {
    let mut count = 0;
    for page in pages() {
        let mut text = page.text.clone();
        let (examples, blocks) = (examples(&page), page.blocks());
        // From the last one on, so that lines stay what they are.
        for block in blocks.iter().rev().filter(|block| block.is("text") && block.has("problems")) {
            let before = examples.iter().rev().find(|example| example.line < block.line).unwrap();
            let problems = match before.compile() {
                Ok(compiled) => compiled.warnings,
                Err(problems) => problems,
            };
            let printed = problems.render(false);
            text = markdown::replaced(&text, block, &format!("{}\n", printed.trim_end()));
            count += 1;
        }
        check_page(&page, &keys::with_tables(&text));
    }
    assert!(count >= 2, "{count}");
}

/// Whether a page is as it should be, or else makes it so if that is wanted.
fn check_page(page: &Page, current: &str) {
    #[expect(clippy::disallowed_methods, reason = "whether to write is said as for snapshots")]
    let writes = std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always");
    if writes && current != page.text {
        fs::write(root().join(&page.path), current).unwrap();
    } else {
        assert_eq!(page.text, current, "{}: run `cargo xtask docs`", page.path);
    }
}

#[test]
fn expressions_come_to_what_the_tables_say() {
    let rows: usize = pages().iter().map(values::check).sum();
    assert!(rows > 60, "{rows}");
}

#[test]
fn every_function_filter_test_and_global_name_has_an_example() {
    let pages = pages();
    let reference = pages.iter().filter(|page| page.path.starts_with(REFERENCE));
    let expressions: Vec<String> = reference.flat_map(values::expressions).collect();
    let is_shown = |form: String| expressions.iter().any(|expression| expression.contains(&form));
    let functions = FUNCTIONS.iter().filter(|name| !is_shown(format!("{name}(")));
    let globals =
        GLOBALS.iter().filter(|name| !expressions.iter().any(|expression| expression.starts_with(**name)));
    let known = |word: Word<'static>| word.known().iter().map(|name| (*name).to_owned());
    let mut missing: Vec<String> = functions.chain(globals).map(|name| (*name).to_owned()).collect();
    missing.extend(known(Word::Filter("")).filter(|name| !is_shown(format!("| {name}"))));
    missing.extend(known(Word::Test("")).filter(|name| !is_shown(format!(" is {name}"))));
    missing.extend(fakes().map(|name| format!("fake.{name}()")).filter(|form| !is_shown(form.clone())));
    assert_eq!(missing, Vec::<String>::new(), "in no table of {REFERENCE}");
}

#[test]
fn every_key_is_in_an_example_and_in_a_table_of_the_reference() {
    let pages = pages();
    let reference: Vec<&Page> = pages.iter().filter(|page| page.path.starts_with(REFERENCE)).collect();
    let good = reference.iter().flat_map(|page| examples(page)).filter(|example| !example.is_wrong);
    let used: BTreeSet<_> = good.flat_map(|example| keys::used(&example.yaml())).collect();
    let told: BTreeSet<_> = reference.iter().flat_map(|page| keys::told(&page.text)).collect();
    let all = || keys::kinds().into_iter().flat_map(|kind| kind.keys.iter().map(|key| (kind.name, key.name)));
    let missing = |known: &BTreeSet<(&'static str, &'static str)>| -> Vec<String> {
        all().filter(|key| !known.contains(key)).map(|(kind, key)| format!("{key} of {kind}")).collect()
    };
    assert_eq!(missing(&used), Vec::<String>::new(), "in no example of {REFERENCE}");
    assert_eq!(missing(&told), Vec::<String>::new(), "in no table of {REFERENCE}");
}

#[test]
fn the_summary_lists_every_page_and_every_link_leads_somewhere() {
    let pages = pages();
    let summary = pages.iter().find(|page| page.path == "docs/SUMMARY.md").unwrap();
    let listed: BTreeSet<String> =
        summary.links().into_iter().map(|(_, link)| format!("docs/{link}")).collect();
    let unlisted: Vec<&str> = pages
        .iter()
        .map(|page| page.path.as_str())
        .filter(|path| path.starts_with("docs/") && *path != summary.path && !listed.contains(*path))
        .collect();
    assert_eq!(unlisted, Vec::<&str>::new(), "not in docs/SUMMARY.md");
    let mut broken = Vec::new();
    for page in &pages {
        for (line, link) in page.links() {
            if !link.starts_with("http") && !leads_somewhere(&pages, page, &link) {
                broken.push(format!("{}:{line}: {link}", page.path));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new(), "links that lead nowhere");
}

fn leads_somewhere(pages: &[Page], from: &Page, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let folder = Path::new(&from.path).parent().unwrap();
    let path = if file.is_empty() { root().join(&from.path) } else { root().join(folder).join(file) };
    let Ok(path) = path.canonicalize() else { return false };
    let page =
        pages.iter().find(|page| root().join(&page.path).canonicalize().is_ok_and(|known| known == path));
    anchor.is_none_or(|anchor| page.is_some_and(|page| page.anchors().iter().any(|known| known == anchor)))
}
