//! Any text is a plan, or a list of problems that can be shown; never a panic. A plan is the same for whoever gets its
//! bundle, and every slice of it can be made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use squall_plan::schedule::Planned;
use squall_plan::{Bundle, Inputs, Load, Share, compile};

fuzz_target!(|text: &str| {
    let bundle = Bundle::new("plan.yaml", text, Inputs::default()).with_files(file);
    let compiled = match compile(&bundle) {
        Ok(compiled) => compiled,
        Err(problems) => return assert!(!problems.render(false).is_empty()),
    };
    let _ = compiled.warnings.render(false);
    let bundle = bundle.narrowed_to(&compiled.plan);
    let again = Bundle::from_bytes(&bundle.to_bytes()).expect("what was written can be read");
    let mut plan = compile(&again).expect("a plan is one everywhere").plan;
    assert_eq!(format!("{:?}", plan.loads), format!("{:?}", compiled.plan.loads));
    plan.keep_rows_of(Share::try_new(1, 3).expect("the second of three"));
    for placed in &plan.loads {
        let whole = placed.load.planned(Share::WHOLE);
        assert!(matches!(placed.load, Load::Open(_)) == matches!(whole, Planned::Arrivals(_)));
    }
});

/// Files that a plan may mention.
fn file(name: &str) -> Result<Vec<u8>, String> {
    match name.rsplit('.').next() {
        Some("csv") => Ok(b"id,name\n1,ada\n2,\"b\"\"c\"\n3,\n".to_vec()),
        Some("json") => Ok(b"[ { \"id\": 1 }, [ 2 ], 3, null ]".to_vec()),
        Some("jsonl") => Ok(b"{ \"id\": 1 }\n\n2\n".to_vec()),
        Some("yaml") => Ok(b"include: [ b.yaml ]\nvariables: { n: 1 }\nfragments: { f: [ { get: / } ] }\n".to_vec()),
        Some("txt") => Ok(name.as_bytes().to_vec()),
        _ => Err("there is no such file".to_owned()),
    }
}
