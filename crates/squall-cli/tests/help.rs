//! What the command says of itself. (Being here also makes every run of the tests build the command, which the
//! end-to-end tests then use.)

use std::process::Command;

fn squall(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_squall")).args(arguments).output();
    output.map_or_else(
        |error| (None, error.to_string()),
        |output| (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()),
    )
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in ["run", "demo", "init", "plan", "validate", "schema", "report", "target"] {
        let (code, help) = squall(&[verb, "--help"]);
        assert_eq!(code, Some(0), "{verb}");
        assert!(help.contains("Example") && help.contains(&format!("squall {verb}")), "{help}");
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    assert_eq!(squall(&["--help"]).0, Some(0));
    assert_eq!(
        squall(&["--version"]),
        (Some(0), concat!("squall ", env!("CARGO_PKG_VERSION"), "\n").to_owned())
    );
    assert_eq!(squall(&["nonsense"]).0, Some(104));
}
