//! The four journeys of the guide, as plans, against a target that checks what it gets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use squall_tests::{Place, target};

/// The first requests of a journey's tasks with their weights, and those of all tasks together; what needs a cart is not
/// always done when it is picked.
fn weights_of(journey: &str) -> (&'static [(&'static str, u32)], u32) {
    match journey {
        "shop" => (
            &[
                ("GET /catalog/products", 5),
                ("GET /catalog/products/:sku", 3),
                ("GET /healthz", 1),
                ("GET /search", 1),
            ],
            10,
        ),
        "authenticated" => (&[("GET /catalog/products (auth)", 4), ("POST /cart", 2)], 10),
        "async-jobs" => (&[("POST /reports/usage", 2), ("GET /jobs", 1)], 3),
        _ => (&[("POST /uploads/presign", 2), ("GET /documents", 1)], 3),
    }
}

/// χ² above which one of a thousand fair mixes is, by degrees of freedom.
const ONE_OF_A_THOUSAND: [f64; 4] = [f64::NAN, 10.828, 13.816, 16.266];

/// What a plan's users ask for, by the guide's names.
const JOURNEYS: [(&str, &[&str]); 4] = [
    ("shop", &["GET /catalog/products", "GET /catalog/products/:sku", "GET /healthz", "GET /search"]),
    (
        "authenticated",
        &[
            "GET /catalog/products (auth)",
            "POST /auth/login",
            "POST /cart",
            "POST /cart/:id/items",
            "POST /orders",
        ],
    ),
    ("async-jobs", &["GET /jobs", "GET /jobs/:id", "GET /jobs/:id/result", "POST /reports/usage"]),
    (
        "uploads",
        &["GET /documents", "POST /documents/process", "POST /uploads/presign", "POST object-storage upload"],
    ),
];

#[test]
fn the_target_has_nothing_to_object_to_and_counts_what_is_reported() {
    for (name, endpoints) in JOURNEYS {
        let (place, server) = (Place::new(), target(false));
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(format!("{name}.yaml"));
        place.write("plan.yaml", &fs::read_to_string(file).unwrap());
        let url = format!("http://{}", server.address());
        let ran = place.run(&[
            "run",
            "plan.yaml",
            "--target",
            &url,
            "--users",
            "40",
            "--duration",
            "12s",
            "--generators",
            "2",
            "--seed",
            "5",
            "--out",
            "out",
        ]);
        // On a machine that is busy with other things the run may be invalid, which is none of the plan's doing.
        assert!([0, 98].contains(&ran.code), "{name}: {}\n{}", ran.stdout, ran.stderr);
        let (result, counts) = (place.result("out"), server.counts());
        assert!(counts.invalid.is_empty(), "{name}: {:?}", counts.reasons);
        assert_eq!(result["totals"]["errors"], 0, "{name}");
        let reported: BTreeMap<&str, u64> = result["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|endpoint| (endpoint["name"].as_str().unwrap(), endpoint["requests"].as_u64().unwrap()))
            .collect();
        assert_eq!(reported.keys().copied().collect::<Vec<_>>(), endpoints, "{name}");
        let received: u64 = reported.values().sum();
        assert_eq!(received, counts.total, "{name}");
        let iterations = &result["measures"]["iterations"][0];
        let iterations = iterations["time_ms"]["count"].as_u64().unwrap();
        let (weights, all) = weights_of(name);
        let counts: Vec<(u64, u32)> =
            weights.iter().map(|(endpoint, weight)| (reported[endpoint], *weight)).collect();
        let (chi_square, freedom) = chi_square(&counts, iterations, all);
        println!("{name}: {iterations} iterations, χ² = {chi_square:.2} with {freedom} degrees of freedom");
        assert!(chi_square < ONE_OF_A_THOUSAND[freedom], "{name}: {counts:?} of {iterations} iterations");
    }
}

/// Pearson's χ² of how often tasks were done, against their weights; what is left of all iterations is one class more.
#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn chi_square(counts: &[(u64, u32)], iterations: u64, all: u32) -> (f64, usize) {
    let counted: u64 = counts.iter().map(|(count, _)| count).sum();
    let weighed: u32 = counts.iter().map(|(_, weight)| weight).sum();
    let rest = (all > weighed).then(|| (iterations.saturating_sub(counted), all - weighed));
    let classes: Vec<(u64, u32)> = counts.iter().copied().chain(rest).collect();
    let term = |(count, weight): &(u64, u32)| {
        let expected = iterations as f64 * f64::from(*weight) / f64::from(all);
        (*count as f64 - expected).powi(2) / expected
    };
    (classes.iter().map(term).sum(), classes.len() - 1)
}
