//! Whole plans: those that compile, and those whose every mistake is told at its place.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use squall_plan::{Bundle, Inputs, LoadOverride, compile};

fn plans(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans").join(folder);
    let mut plans: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    plans.sort();
    plans
}

fn bundle(path: &Path) -> Bundle {
    let name = path.file_name().unwrap().to_str().unwrap();
    let beside = |file: &str| fs::read(path.with_file_name(file)).map_err(|_| "no such file".to_owned());
    Bundle::new(name, fs::read_to_string(path).unwrap(), Inputs::default()).with_files(beside)
}

#[test]
fn every_mistake_of_a_broken_plan_is_told_at_its_place() {
    let broken = plans("broken");
    assert!(broken.len() >= 12);
    for path in broken {
        let bundle = bundle(&path);
        let problems = compile(&bundle).unwrap_err();
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::assert_snapshot!(name, problems.render(false));
        let own = problems.iter().filter(|problem| problem.file == problems.file);
        let lines: Vec<usize> = own.map(|problem| problem.from.line).collect();
        assert!(lines.is_sorted(), "{name}: {lines:?}");
    }
}

#[test]
fn good_plans_compile_to_what_they_say() {
    for path in plans("ok") {
        let compiled = compile(&bundle(&path)).unwrap_or_else(|problems| {
            panic!("{}", problems.render(false));
        });
        let name = path.file_stem().unwrap().to_str().unwrap();
        insta::assert_debug_snapshot!(name, (compiled.plan, compiled.warnings));
    }
}

#[test]
fn the_examples_have_no_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let examples = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let plans: Vec<_> = examples.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(plans.len() >= 6);
    for path in plans {
        let bundle = bundle(&path);
        let compiled = compile(&bundle).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings.render(false));
    }
}

#[test]
fn the_command_line_replaces_what_the_plan_says() {
    let text = "target: http://127.0.0.1:1\nvariables: { n: 1 }\nload: { users: 5, duration: 1m }\n\
                scenarios: { a: { steps: [ { get: '/{{ n }}' } ] } }";
    let load = LoadOverride::Users { users: 7, duration: std::time::Duration::from_secs(3) };
    let inputs = Inputs {
        variables: BTreeMap::from([("n".to_owned(), "2".to_owned())]),
        target: Some("http://127.0.0.1:9".to_owned()),
        load: Some(load),
        ..Inputs::default()
    };
    let plan = compile(&Bundle::new("p.yaml", text, inputs)).unwrap().plan;
    assert_eq!(plan.target.as_str(), "http://127.0.0.1:9/");
    assert_eq!(plan.duration(), std::time::Duration::from_secs(3));
    assert_eq!(plan.variables, [("n".to_owned(), minijinja::Value::from(2))]);
    assert_eq!(plan.name, "p");
}

#[test]
fn a_bundle_keeps_only_the_environment_that_the_plan_mentions() {
    let text = "target: 'http://{{ env.HOST }}'\nload: { users: 1, duration: 1s }\n\
                scenarios: { a: { steps: [ { get: '/{{ env.UNSET | default(1) }}' } ] } }";
    let env = [("HOST", "127.0.0.1"), ("SECRET", "s3cret")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let bundle = Bundle::new("p.yaml", text, Inputs { env: BTreeMap::from(env), ..Inputs::default() });
    let plan = compile(&bundle).unwrap().plan;
    let bundle = bundle.narrowed_to(&plan);
    assert!(!String::from_utf8(bundle.to_bytes()).unwrap().contains("s3cret"));
    let again = Bundle::from_bytes(&bundle.to_bytes()).unwrap();
    assert_eq!((again.sha256(), compile(&again).unwrap().plan.target), (bundle.sha256(), plan.target));
}

#[test]
fn too_many_names_are_measured_together_and_said_so() {
    let steps: String = (0..230).map(|n| format!("      - get: /page/{n}\n")).collect();
    let text = format!(
        "target: http://127.0.0.1:1\nload: {{ users: 1, duration: 1s }}\nscenarios:\n  a:\n    steps:\n{steps}"
    );
    let compiled = compile(&Bundle::new("p.yaml", text, Inputs::default())).unwrap();
    assert_eq!(compiled.plan.series.len(), 201);
    assert_eq!(compiled.plan.series[200].endpoint, "other");
    assert_eq!(compiled.warnings.iter().count(), 30);
}

#[test]
fn the_committed_schema_is_that_of_the_key_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/plan.schema.json");
    let committed: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let current = squall_plan::schema::schema();
    assert_eq!(committed, current, "run `squall schema plan > docs/schemas/plan.schema.json`");
}

#[test]
fn good_plans_are_good_by_the_schema_too() {
    let validator = jsonschema::validator_for(&squall_plan::schema::schema()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let examples = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in plans("ok").into_iter().chain(examples) {
        let value: serde_json::Value = serde_yaml_ng::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", path.display());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_compiler_panic(text in "[\\PC\\n\\t{}\\[\\]:&*,'\"%$-]{0,300}") {
        let _ = compile(&Bundle::new("p.yaml", text, Inputs::default()));
    }

    #[test]
    fn a_good_plan_with_a_few_characters_changed_does_not_make_it_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), "[\\PC\\n{}\\[\\]:'\"]{0,3}"), 1..6),
    ) {
        let mut text = fs::read_to_string(&plans("ok")[0]).unwrap();
        for (at, with) in edits {
            let at = text.floor_char_boundary(at.index(text.len()));
            let end = text.ceil_char_boundary((at + 2).min(text.len()));
            text.replace_range(at..end, &with);
        }
        if let Err(problems) = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default())) {
            prop_assert!(!problems.render(false).is_empty());
        }
    }
}
