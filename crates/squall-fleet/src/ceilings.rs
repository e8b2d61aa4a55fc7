//! What whoever deployed a fleet lets it do, whatever a plan, a manifest or an assignment wants.
//!
//! The command looks before it invites, to say so at once; each generator looks again, at what its own environment
//! says, before it says that it is ready. So who writes a manifest or an invitation by hand gets no further.

use std::num::NonZeroU32;

use squall_plan::estimate::usual_pause;
use squall_plan::units::Rate;
use squall_plan::{AllowList, Load, PlacedLoad, Plan, Share};
use thiserror::Error;

use crate::keys;
use crate::message::{Invitation, Manifest, Message};
use crate::ports::{Fetched, Store, StoreError};

/// Hosts that a fleet can be kept to.
const MOST_HOSTS: usize = 100;

/// What a fleet may do at most. By default, anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// The hosts that its load may go to.
    pub hosts: Option<AllowList>,
    /// Iterations a second, of the whole fleet.
    pub rate: Option<NonZeroU32>,
    /// Generators that make load.
    pub generators: Option<NonZeroU32>,
}

/// How a run goes beyond what its fleet may do.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Beyond {
    /// To a host that the fleet is not for.
    #[error("`{host}` in the plan's `{key}` is not among the hosts of this fleet ({})", hosts.join(", "))]
    Host {
        /// Where the plan leads to.
        host: String,
        /// Where it says so.
        key: &'static str,
        /// Where it may go.
        hosts: Vec<String>,
    },
    /// More load than the fleet may make.
    #[error("the plan makes up to {wanted:.0} iterations a second, and this fleet may make {most}")]
    Rate {
        /// What the plan makes.
        wanted: f64,
        /// What there may be.
        most: NonZeroU32,
    },
    /// Nobody knows how much load.
    #[error(
        "users of scenario `{scenario}` go on as fast as answers come, and this fleet may make {most} iterations a \
         second"
    )]
    Unpaced {
        /// The scenario without a pause.
        scenario: String,
        /// What there may be.
        most: NonZeroU32,
    },
    /// More generators than the fleet may have.
    #[error("the run has {wanted} generators, and this fleet may have {most}")]
    Generators {
        /// How many it has.
        wanted: u32,
        /// How many there may be.
        most: NonZeroU32,
    },
}

/// Why text says no ceiling.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CeilingError {
    /// It is no host.
    #[error("`{0}` is no host: write a name, an address, or `*.` and a name")]
    Host(String),
    /// They are too many.
    #[error("more than {MOST_HOSTS} hosts")]
    TooManyHosts,
    /// It is no whole number.
    #[error("`{0}` is no whole number")]
    Number(String),
}

impl Ceilings {
    /// What texts say, as a deployed fleet keeps them: hosts with commas between them, and numbers. An empty text and a 0
    /// are no ceiling.
    pub fn from_texts(hosts: &str, rate: &str, generators: &str) -> Result<Self, CeilingError> {
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).collect();
        if hosts.len() > MOST_HOSTS {
            return Err(CeilingError::TooManyHosts);
        }
        let entry = |host: &&str| {
            AllowList::entry(host).ok_or_else(|| CeilingError::Host((*host).chars().take(100).collect()))
        };
        let entries = hosts.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            hosts: (!entries.is_empty()).then(|| AllowList::new(entries)),
            rate: number(rate)?,
            generators: number(generators)?,
        })
    }

    /// Whether a run stays within them.
    pub fn check(&self, plan: &Plan, generators: u32) -> Result<(), Beyond> {
        self.check_hosts(plan)?;
        self.check_rate(plan)?;
        self.check_generators(generators)
    }

    /// Whether an assignment does: nobody knows better than whoever runs a slice into how many the load is divided.
    pub fn check_share(&self, share: Share) -> Result<(), Beyond> {
        self.check_generators(share.count())
    }

    fn check_generators(&self, wanted: u32) -> Result<(), Beyond> {
        match self.generators {
            Some(most) if wanted > most.get() => Err(Beyond::Generators { wanted, most }),
            _ => Ok(()),
        }
    }

    fn check_rate(&self, plan: &Plan) -> Result<(), Beyond> {
        let Some(most) = self.rate else { return Ok(()) };
        match peak_rate(plan) {
            Peak::Unpaced(scenario) => Err(Beyond::Unpaced { scenario, most }),
            // What is rounded off an exact rate is no more load.
            Peak::Rate(wanted) if wanted > f64::from(most.get()) + 1e-6 => Err(Beyond::Rate { wanted, most }),
            Peak::Rate(_) => Ok(()),
        }
    }

    /// The hosts of requests; and where the plan itself says what a name leads to, or what is in between, that too.
    fn check_hosts(&self, plan: &Plan) -> Result<(), Beyond> {
        let Some(allowed) = &self.hosts else { return Ok(()) };
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        let own = plan.target.host_str().map(|host| ("target", bare(host)));
        let others = plan.allow.hosts().map(|host| ("allow", host.to_owned()));
        let proxy = plan.http.proxy.as_ref().and_then(|proxy| proxy.host_str());
        let proxy = proxy.map(|host| ("http.proxy", bare(host)));
        let resolved = plan.http.resolve.values().flatten().map(|ip| ("http.resolve", ip.to_string()));
        let servers = plan.http.dns.servers.iter().map(|server| ("http.dns", server.ip().to_string()));
        let all = own.into_iter().chain(others).chain(proxy).chain(resolved).chain(servers);
        all.into_iter().find(|(_, host)| !allowed.covers(host)).map_or(Ok(()), |(key, host)| {
            Err(Beyond::Host { host, key, hosts: allowed.hosts().map(str::to_owned).collect() })
        })
    }
}

/// How many generators a run has, as its manifest says; `None` if there is no such run, or nobody could read which.
pub async fn generators_of(store: &impl Store, invitation: &str) -> Result<Option<u32>, StoreError> {
    let Ok(invitation) = Invitation::from_text(invitation) else { return Ok(None) };
    Ok(match store.get(&keys::manifest(&invitation.run), None).await? {
        Fetched::Found { value, .. } => Manifest::from_bytes(&value).ok().map(|manifest| manifest.seats),
        Fetched::NotModified | Fetched::Missing => None,
    })
}

/// How many iterations begin in a second, at the most.
#[derive(Debug, Clone, PartialEq)]
pub enum Peak {
    /// So many: the rate of arrivals, and of users what their `think` lets them begin, on average and if all else took
    /// no time.
    Rate(f64),
    /// Users of this scenario have no `think`: they go on as fast as answers come. Pauses within an iteration do not
    /// count, for one that fails leaves them out.
    Unpaced(String),
}

/// How many iterations a second a plan makes at the most, all its loads together.
#[must_use]
pub fn peak_rate(plan: &Plan) -> Peak {
    let mut sum = 0.0;
    for placed in &plan.loads {
        match peak_of(plan, placed) {
            Peak::Rate(rate) => sum += rate,
            unpaced @ Peak::Unpaced(_) => return unpaced,
        }
    }
    Peak::Rate(sum)
}

fn peak_of(plan: &Plan, placed: &PlacedLoad) -> Peak {
    if let Load::Open(load) = &placed.load {
        let rates = load.stages.iter().map(|stage| stage.rate).chain([load.start_rate]);
        return Peak::Rate(rates.max().map_or(0.0, Rate::per_second));
    }
    let scenarios = placed.scenarios.iter().filter_map(|&index| plan.scenarios.get(index));
    let weights: f64 = scenarios.clone().map(|scenario| f64::from(scenario.weight)).sum();
    let mut sum = 0.0;
    for scenario in scenarios {
        let pause_s = scenario.think.map_or(0.0, |think| usual_pause(think).as_secs_f64());
        if pause_s <= 0.0 {
            return Peak::Unpaced(scenario.name.clone());
        }
        sum += f64::from(placed.users()) * f64::from(scenario.weight) / weights / pause_s;
    }
    Peak::Rate(sum)
}

fn number(text: &str) -> Result<Option<NonZeroU32>, CeilingError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse::<u32>().map_err(|_| CeilingError::Number(text.chars().take(100).collect()))?;
    Ok(NonZeroU32::new(number))
}

#[cfg(test)]
mod tests {
    use squall_plan::{Bundle, Inputs, compile};

    use super::*;

    fn plan(head: &str, load: &str, scenarios: &str) -> Plan {
        let text = format!("{head}\nload: {load}\nscenarios: {{ {scenarios} }}");
        let compiled = compile(&Bundle::new("p.yaml", text.as_str(), Inputs::default()));
        compiled.unwrap_or_else(|problems| panic!("{}", problems.render(false))).plan
    }

    const ONE: &str = "a: { steps: [ { get: / } ] }";

    fn check(ceilings: &Ceilings, plan: &Plan, generators: u32, expected: &str) {
        let found =
            ceilings.check(plan, generators).map_or_else(|beyond| beyond.to_string(), |()| String::new());
        assert!(
            if expected.is_empty() { found.is_empty() } else { found.contains(expected) },
            "`{found}`, not `{expected}`"
        );
    }

    #[test]
    fn texts_say_ceilings_or_none() {
        let of = Ceilings::from_texts;
        assert_eq!(of("", "0", " ").unwrap(), Ceilings::default());
        let ceilings = of(" Shop.test ,*.b\u{fc}cher.test,, [::1]", "500", "20").unwrap();
        let hosts: Vec<&str> = ceilings.hosts.as_ref().unwrap().hosts().collect();
        assert_eq!(hosts, ["shop.test", "*.xn--bcher-kva.test", "::1"]);
        assert_eq!(
            (ceilings.rate.map(NonZeroU32::get), ceilings.generators.map(NonZeroU32::get)),
            (Some(500), Some(20))
        );
        // What is meant to be a ceiling and is none is no licence.
        assert_eq!(of("*", "", "").unwrap_err(), CeilingError::Host("*".to_owned()));
        assert_eq!(of("http://x", "", "").unwrap_err(), CeilingError::Host("http://x".to_owned()));
        for number in ["-1", "1.5", "many", "4294967296"] {
            assert_eq!(of("", number, "").unwrap_err(), CeilingError::Number(number.to_owned()));
            assert_eq!(of("", "", number).unwrap_err(), CeilingError::Number(number.to_owned()));
        }
        assert_eq!(of(&"a,".repeat(101), "", "").unwrap_err(), CeilingError::TooManyHosts);
    }

    #[test]
    fn nothing_in_a_plan_leads_out_of_the_deployed_hosts() {
        let ceilings = Ceilings::from_texts("shop.test, *.cdn.test, 10.0.0.1", "", "").unwrap();
        let check = |head: &str, expected: &str| {
            check(&ceilings, &plan(head, "{ users: 1, duration: 1s }", ONE), 1, expected);
        };
        check("target: http://shop.test", "");
        check("target: https://SHOP.test.:8443/api", "");
        check("target: http://shop.test\nallow: [ a.cdn.test, '*.b.cdn.test', 10.0.0.1 ]", "");
        check(
            "target: http://evil.test",
            "`evil.test` in the plan's `target` is not among the hosts of this fleet",
        );
        check("target: http://shop.test.evil.test", "`shop.test.evil.test` in the plan's `target`");
        check("target: http://shop.test\nallow: [ evil.test ]", "`evil.test` in the plan's `allow`");
        check("target: http://shop.test\nallow: [ '*.shop.test' ]", "`*.shop.test`");
        check("target: http://shop.test\nallow: [ cdn.test ]", "(shop.test, *.cdn.test, 10.0.0.1)");
        // A name that is allowed, led to where nobody allowed anything.
        check("target: http://shop.test\nhttp: { resolve: { shop.test: 10.0.0.1 } }", "");
        check(
            "target: http://shop.test\nhttp: { resolve: { shop.test: [10.0.0.1, 10.0.0.2] } }",
            "`10.0.0.2` in the plan's `http.resolve`",
        );
        check(
            "target: http://shop.test\nhttp: { dns: { servers: [ '10.0.0.2:53' ] } }",
            "`10.0.0.2` in the plan's `http.dns`",
        );
        check(
            "target: http://shop.test\nhttp: { proxy: 'http://evil.test:3128' }",
            "`evil.test` in the plan's `http.proxy`",
        );
        check("target: http://shop.test\nhttp: { proxy: 'http://10.0.0.1:3128' }", "");
    }

    #[test]
    fn a_plan_makes_no_more_iterations_than_the_fleet_may() {
        let ceilings = Ceilings::from_texts("", "100", "").unwrap();
        let check = |load: &str, scenarios: &str, expected: &str| {
            check(&ceilings, &plan("target: http://x", load, scenarios), 1_000, expected);
        };
        check("{ rate: 100/s, duration: 1m, max_users: 10 }", ONE, "");
        check(
            "{ rate: 101/s, duration: 1m, max_users: 10 }",
            ONE,
            "101 iterations a second, and this fleet may make 100",
        );
        check(
            "{ start_rate: 200/s, stages: [ { duration: 1m, rate: 1/s } ], max_users: 10 }",
            ONE,
            "200 iterations",
        );
        check(
            "{ stages: [ { duration: 1m, rate: 300/s }, { duration: 1m, rate: 1/s } ], max_users: 10 }",
            ONE,
            "300 iterations",
        );
        let two =
            "[ { rate: 60/s, duration: 1m, max_users: 9 }, { rate: 60/s, duration: 1m, max_users: 9 } ]";
        check(two, ONE, "120 iterations");
        let of = |think: &str| format!("a: {{ think: {think}, steps: [ {{ get: / }} ] }}");
        let users = "{ users: 500, duration: 1m }";
        check(users, &of("5s"), "");
        check(users, &of("4s"), "125 iterations");
        check(users, &of("4s..6s"), "");
        check(users, &of("pace(5s)"), "");
        check(users, &of("exponential(1s)"), "500 iterations");
        check(users, ONE, "users of scenario `a` go on as fast as answers come");
        // An iteration that fails leaves out what comes after.
        check(users, "a: { steps: [ { get: / }, { think: 1m } ] }", "as fast as answers come");
        let both =
            "a: { think: 10s, weight: 9, steps: [ { get: / } ] }, b: { think: 1s, steps: [ { get: / } ] }";
        check(users, both, "");
        check("{ users: 600, duration: 1m }", both, "114 iterations");
    }

    #[test]
    fn a_run_has_no_more_generators_than_the_fleet_may() {
        let ceilings = Ceilings::from_texts("", "", "4").unwrap();
        let plan = plan("target: http://x", "{ users: 9, duration: 1m }", ONE);
        check(&ceilings, &plan, 4, "");
        check(&ceilings, &plan, 5, "the run has 5 generators, and this fleet may have 4");
        assert_eq!(ceilings.check_share(Share::try_new(3, 4).unwrap()), Ok(()));
        assert!(ceilings.check_share(Share::try_new(0, 5).unwrap()).is_err());
        check(&Ceilings::default(), &plan, 10_000, "");
    }

    #[tokio::test]
    async fn the_manifest_says_how_many_generators_a_run_has() {
        use crate::{MemoryStore, Put, Time, VERSION};

        let store = MemoryStore::default();
        let invitation =
            Invitation { version: VERSION, run: "r".to_owned(), seat: 0, expires_at: Time(i64::MAX) }
                .to_text();
        assert_eq!(generators_of(&store, &invitation).await.unwrap(), None);
        assert_eq!(generators_of(&store, "no json").await.unwrap(), None);
        let manifest = serde_json::json!({
            "version": VERSION, "run": "r", "name": "", "bundle": "", "seed": 0, "seats": 50, "least": 50, "spares": 0,
            "interval_s": 2, "poll_ms": 9, "gather_ms": 9, "window_ms": 9, "shards": 1, "began_at": 0,
        });
        store.put(&keys::manifest("r"), manifest.to_string().into_bytes(), Put::Always).await.unwrap();
        assert_eq!(generators_of(&store, &invitation).await.unwrap(), Some(50));
    }
}
