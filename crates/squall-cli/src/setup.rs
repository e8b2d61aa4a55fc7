//! What a run does once, before its load and after it.

use std::sync::Arc;

use anyhow::anyhow;
use squall_engine::{Done, Errand, OnceOrder, RunFacts, run_errand_apart};
use squall_fleet::{Clock, RunRecord};
use squall_metrics::Snapshot;
use squall_plan::{Bundle, Plan, SecretValues, compile};
use squall_seat::SystemClock;

use crate::failure::Failure;
use crate::plan::Loaded;
use crate::secrets;

/// The errands of a run.
pub(crate) struct Errands {
    run: RunFacts,
    seed: u64,
    secrets: SecretValues,
    setup: Option<Done>,
}

impl Errands {
    /// Takes the steps of `setup`; what they have given becomes a part of the plan.
    pub(crate) fn begin(loaded: Loaded, id: &str, seed: u64) -> Result<(Loaded, Self), Failure> {
        let run =
            RunFacts { id: id.to_owned(), nonce: String::new(), started_ms: SystemClock.now().0 / 1_000 };
        let mut errands = Self { run, seed, secrets: SecretValues::default(), setup: None };
        if loaded.plan.setup.is_empty() && loaded.plan.teardown.is_empty() {
            return Ok((loaded, errands));
        }
        errands.secrets = secrets::of(&loaded.plan)?;
        if loaded.plan.setup.is_empty() {
            return Ok((loaded, errands));
        }
        eprintln!("setup …");
        let Loaded { plan, bundle } = loaded;
        let (plan, done) = errands.run(plan, Errand::Setup)?;
        if !done.is_good {
            return Err(anyhow!("setup failed, and no load was made: {}", why(&plan, &done)).into());
        }
        let loaded = with_values(bundle, &done, &errands.secrets)?;
        errands.setup = Some(done);
        Ok((loaded, errands))
    }

    /// Of a run whose `setup` somebody else has done.
    pub(crate) fn again(plan: &Plan, id: &str, seed: u64) -> Result<Self, Failure> {
        let run =
            RunFacts { id: id.to_owned(), nonce: String::new(), started_ms: SystemClock.now().0 / 1_000 };
        let secrets = if plan.teardown.is_empty() { SecretValues::default() } else { secrets::of(plan)? };
        Ok(Self { run, seed, secrets, setup: None })
    }

    /// Takes the steps of `teardown`, and adds what both measured to the rest.
    pub(crate) fn end(mut self, plan: Plan, record: &mut RunRecord) -> Result<Plan, Failure> {
        if let Some(done) = self.setup.take() {
            self.add(done, "setup", record);
        }
        if plan.teardown.is_empty() {
            return Ok(plan);
        }
        eprintln!("teardown …");
        let (plan, done) = self.run(plan, Errand::Teardown)?;
        if !done.is_good {
            record.problems.push(format!("teardown failed: {}", why(&plan, &done)));
        }
        self.add(done, "teardown", record);
        Ok(plan)
    }

    fn run(&self, plan: Plan, errand: Errand) -> Result<(Plan, Done), Failure> {
        let plan = Arc::new(plan);
        let (run, secrets) = (self.run.clone(), self.secrets.clone());
        let order = OnceOrder { plan: Arc::clone(&plan), seed: self.seed, run, secrets };
        let done = run_errand_apart(&order, errand)?;
        drop(order);
        let plan = Arc::into_inner(plan).ok_or_else(|| anyhow!("plan is still in use"))?;
        Ok((plan, done))
    }

    fn add(&self, done: Done, nonce: &str, record: &mut RunRecord) {
        let (run, nonce) = (self.run.id.clone(), nonce.to_owned());
        record.merged.merge(Snapshot { run, nonce, sequence: 0, interval: done.measured });
    }
}

/// The plan with what `setup` has given, of which nothing may be secret.
pub(crate) fn with_values(
    mut bundle: Bundle,
    done: &Done,
    secrets: &SecretValues,
) -> Result<Loaded, Failure> {
    let masks = secrets.masks();
    for (name, value) in &done.values {
        let text = value.to_string();
        if masks.mask(&text) != text {
            let what =
                anyhow!("`{name}` of setup holds a secret, which would be written down for generators");
            return Err(Failure::wrong(what).with_hint("do it in `before` of the scenarios"));
        }
        bundle.inputs.setup.insert(name.clone(), value.clone());
    }
    // What is to be said of the plan has been said.
    let compiled =
        compile(&bundle).map_err(|problems| Failure::wrong(anyhow!("{}", problems.render(false))))?;
    Ok(Loaded { plan: compiled.plan, bundle })
}

/// What went wrong, in words.
fn why(plan: &Plan, done: &Done) -> String {
    let failed = done.measured.series.iter().filter(|(_, series)| series.errors > 0);
    let requests = failed.filter_map(|(id, series)| {
        let name = &plan.series.get(usize::from(id.0))?.endpoint;
        let outcomes: Vec<String> = series.outcomes.keys().map(ToString::to_string).collect();
        Some(format!("`{name}` ended with {}", outcomes.join(", ")))
    });
    let words: Vec<String> = requests.chain(done.measured.problems.keys().cloned()).collect();
    if words.is_empty() { "the plan ended it".to_owned() } else { words.join("; ") }
}
