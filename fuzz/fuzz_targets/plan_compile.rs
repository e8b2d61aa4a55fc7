//! Any text is a plan, or a list of problems that can be shown; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use squall_plan::{Bundle, Inputs, compile};

fuzz_target!(|text: &str| {
    let bundle = Bundle::new("plan.yaml", text, Inputs::default());
    if let Err(problems) = compile(&bundle) {
        assert!(!problems.render(false).is_empty());
    }
});
