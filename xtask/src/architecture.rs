//! The rules of the house, as a function of what it is.

use crate::facts::{Crate, Facts};

/// What no pure crate links.
const IMPURE_CRATES: [&str; 7] = ["hyper", "hyper-util", "mio", "reqwest", "rustls", "socket2", "tokio"];

/// What no pure crate mentions. Of `std::net` addresses are values; sockets, and names that are looked up, are not.
const IMPURE_PATHS: [&str; 12] = [
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
];

/// More that no pure crate mentions: the wall's clock, randomness out of nowhere, and printing.
const IMPURE_MORE: [&str; 7] =
    ["std::time::SystemTime", "rand::rng", "print!", "println!", "eprint!", "eprintln!", "dbg!"];

/// Every rule that is broken, in words.
pub(crate) fn violations(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for name in facts.table.keys().filter(|name| !facts.crates.contains_key(*name)) {
        found.push(format!("{name} is in the table, but not in the house"));
    }
    for (name, krate) in &facts.crates {
        let Some(rule) = facts.table.get(name) else {
            found.push(format!("{name} is in the house, but not in the table"));
            continue;
        };
        for inner in krate.inner.difference(&rule.allowed) {
            found.push(format!("{name} must not depend on {inner}"));
        }
        if rule.pure {
            found.extend(impurities(name, krate));
        }
        if !krate.is_described {
            found.push(format!("{name} does not say first what it is for"));
        }
        if krate.has_logic_in_lib {
            found.push(format!("{name} has logic in its lib.rs"));
        }
        found.extend(krate.long_files.iter().map(|file| format!("{name} has a long file: {file}")));
    }
    found
}

fn impurities(name: &str, krate: &Crate) -> Vec<String> {
    let linked = krate
        .linked
        .iter()
        .filter(|linked| IMPURE_CRATES.contains(&linked.as_str()) || linked.starts_with("aws-"));
    let mut found: Vec<String> = linked.map(|linked| format!("{name} is pure, but links {linked}")).collect();
    for (file, mention) in &krate.mentions {
        let impure = IMPURE_PATHS.iter().chain(&IMPURE_MORE).any(|path| is_within(mention, path));
        if impure {
            found.push(format!("{name} is pure, but {file} mentions {mention}"));
        }
    }
    found
}

/// Whether a mention is of a path or of something in it, or takes in all of a module that has it.
fn is_within(mention: &str, path: &str) -> bool {
    let inside = mention.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    inside || mention.strip_suffix("::*").is_some_and(|module| path.starts_with(&format!("{module}::")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::facts::gather;

    #[test]
    fn a_bad_house_is_told_all_its_faults() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = violations(&gather(&here.join("fixtures/bad-house")).unwrap());
        let expected = [
            "squall-ghost is in the table, but not in the house",
            "squall-plan must not depend on squall-target",
            "squall-plan is pure, but links mio",
            "squall-plan is pure, but src/clock.rs mentions println!",
            "squall-plan is pure, but src/clock.rs mentions std::fs",
            "squall-plan is pure, but src/clock.rs mentions std::time::*",
            "squall-plan is pure, but src/lib.rs mentions std::env::var",
            "squall-plan does not say first what it is for",
            "squall-plan has logic in its lib.rs",
            "squall-plan has a long file: src/long.rs",
            "squall-target is in the house, but not in the table",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn this_house_is_as_its_table_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(violations(&gather(&root).unwrap()), Vec::<String>::new());
    }
}
