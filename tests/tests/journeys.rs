//! The four journeys of the guide, as plans, against a target that checks what it gets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use squall_tests::{Place, target};

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
            "--out",
            "out",
        ]);
        assert_eq!(ran.code, 0, "{name}: {}\n{}", ran.stdout, ran.stderr);
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
        assert!(iterations["time_ms"]["count"].as_u64() > Some(0), "{name}: {iterations}");
    }
}
