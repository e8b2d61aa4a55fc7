//! What the command says of a plan before it runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

/// What `squall plan` prints, for 80 columns.
fn preview(arguments: &[&str], language: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    let output = command
        .arg("plan")
        .args(arguments)
        .env("LANG", language)
        .env_remove("LC_ALL")
        .env_remove("LC_CTYPE")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    page
}

#[test]
fn profiles_slices_and_requests_are_there_before_the_load_is() {
    insta::assert_snapshot!("shop", preview(&["shop.yaml", "--generators", "4"], "C.UTF-8"));
}

#[test]
fn the_size_of_the_fleet_is_said_where_nobody_gave_it() {
    insta::assert_snapshot!(
        "url",
        preview(&["http://127.0.0.1:9/x", "--rate", "2500", "--duration", "90s"], "C.UTF-8")
    );
}

#[test]
fn a_fleet_on_aws_is_told_with_when_it_is_ready_and_what_it_costs() {
    insta::assert_snapshot!("aws", preview(&["shop.yaml", "--backend", "aws"], "C.UTF-8"));
    let large = ["shop.yaml", "--users", "600000", "--duration", "5m", "--backend", "aws", "--lanes", "2"];
    insta::assert_snapshot!("aws_large", preview(&large, "C.UTF-8"));
    assert!(preview(&large, "C").is_ascii());
}

#[test]
fn without_other_characters_there_are_none() {
    let page = preview(&["shop.yaml", "--users", "3", "--duration", "250ms"], "C");
    assert!(page.is_ascii(), "{page}");
    assert!(page.contains("250ms"), "{page}");
    let warns = |generators: &str| {
        let page =
            preview(&["shop.yaml", "--users", "3000", "--duration", "1m", "--generators", generators], "C");
        page.split_whitespace().collect::<Vec<_>>().join(" ").contains("A generator on AWS may have 952")
    };
    assert!(warns("2") && !warns("6"));
}
