//! The plans of the documentation do what it says: they run against the simulated shop, which has nothing to object to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use squall_target::{Server, ServerOptions};
use squall_tests::{Place, target};

/// Pages whose plans are for the shop.
const PAGES: [&str; 13] = [
    "plan/setup.md",
    "plan/cleanup.md",
    "getting-started.md",
    "coming-from-locust.md",
    "coming-from-k6.md",
    "coming-from-artillery.md",
    "recipes/login.md",
    "recipes/polling.md",
    "recipes/uploads.md",
    "recipes/data.md",
    "recipes/several-loads.md",
    "recipes/ci.md",
    "recipes/debugging.md",
];

/// A block of a page: what its fence says, and what is in it.
struct Block {
    info: String,
    text: String,
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(docs().join(page)).unwrap();
    // Of parts between fences every second one is inside.
    let inside = text.split("\n```").skip(1).step_by(2);
    inside
        .map(|block| {
            let (info, text) = block.split_once('\n').unwrap();
            Block { info: info.to_owned(), text: format!("{text}\n") }
        })
        .collect()
}

/// A folder with a page's plans and files; the names of the plans.
fn place_of(page: &str) -> (Place, Vec<String>) {
    let (place, mut plans) = (Place::new(), Vec::new());
    for block in blocks(page) {
        let file = ["csv ", "json ", "jsonl "].iter().find_map(|kind| block.info.strip_prefix(kind));
        if let Some(name) = file {
            place.write(name, &block.text);
        } else if block.info == "yaml" {
            let name = format!("plan-{}.yaml", plans.len() + 1);
            place.write(&name, &block.text);
            plans.push(name);
        }
    }
    (place, plans)
}

/// Runs a plan with few users for a short time.
fn run(place: &Place, plan: &str, server: &Server, load: &[&str]) -> serde_json::Value {
    let url = format!("http://{}", server.address());
    let usual = ["run", plan, "--target", &url, "--generators", "1", "--out", "out"];
    let ran = place.run(&[&usual, load].concat());
    // For some thresholds so short a time is too little.
    assert!([0, 98, 99].contains(&ran.code), "{plan}: {}\n{}", ran.stdout, ran.stderr);
    place.result("out")
}

#[test]
fn the_shop_has_nothing_to_object_to() {
    // Little load, and much waiting: pages side by side.
    thread::scope(|scope| {
        for page in PAGES {
            scope.spawn(move || check_plans_of(page));
        }
    });
}

fn check_plans_of(page: &str) {
    let (place, plans) = place_of(page);
    assert!(!plans.is_empty(), "{page}");
    for plan in plans {
        let server = target(false);
        let result = run(&place, &plan, &server, &["--users", "4", "--duration", "2s"]);
        assert_eq!(result["totals"]["errors"], 0, "{page}, {plan}: {}", result["outcomes"]);
        assert!(result["totals"]["requests"].as_u64() > Some(0), "{page}, {plan}");
        let counts = server.counts();
        assert!(counts.invalid.is_empty(), "{page}, {plan}: {:?}", counts.reasons);
    }
}

#[test]
fn a_token_that_expires_is_refreshed_and_costs_one_request() {
    let lifetime = Duration::from_secs(1);
    let options = ServerOptions { delays: false, token_lifetime: lifetime, ..ServerOptions::default() };
    let server = Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).unwrap();
    let (place, _) = place_of("recipes/login.md");
    let result = run(&place, "plan-1.yaml", &server, &["--users", "4", "--duration", "4s"]);
    let counts = server.counts();
    let of = |name: &str| counts.routes.get(name).copied().unwrap_or(0);
    assert_eq!(of("POST /auth/login"), 4, "each user logs in once: {counts:?}");
    let refreshed = of("POST /auth/refresh");
    assert!(refreshed >= 8, "{counts:?}");
    assert_eq!(result["outcomes"]["401"].as_u64(), Some(refreshed));
    assert_eq!(result["totals"]["errors"].as_u64(), Some(refreshed));
}

#[test]
fn options_in_commands_that_are_shown_exist() {
    let place = Place::new();
    let mut pages = vec![docs().join("../README.md")];
    let mut folders = vec![docs()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    let (mut helps, mut count) = (BTreeMap::new(), 0);
    for page in pages {
        let relative = page.strip_prefix(docs()).unwrap_or(&page).to_str().unwrap().to_owned();
        for block in blocks(&relative).iter().filter(|block| block.info == "sh") {
            for line in block.text.lines() {
                let line = line.split('#').next().unwrap_or_default();
                let mut words = line.split_whitespace().skip_while(|word| *word != "squall").skip(1);
                let Some(command) = words.next() else { continue };
                let mut command =
                    vec![if command.trim_start_matches('\'').starts_with("http") { "run" } else { command }];
                if command == ["probe"] {
                    command.extend(words.next());
                }
                let help = helps.entry(command.join(" ")).or_insert_with(|| {
                    let ran = place.run(&[&command, &["--help"][..]].concat());
                    assert_eq!(ran.code, 0, "{relative}: {line}");
                    ran.stdout
                });
                // What comes after a bar or a redirection belongs to others.
                let own = words.take_while(|word| !["|", ">", "&&"].contains(word));
                for option in own.filter(|word| word.starts_with("--")) {
                    let name = option.split('=').next().unwrap_or_default();
                    assert!(
                        help.contains(&format!("{name} ")) || help.contains(&format!("{name}\n")),
                        "{relative}: {line}"
                    );
                    count += 1;
                }
            }
        }
    }
    assert!(count > 20, "{count}");
}
