//! Which rows of data a share of the plan asks for: who takes which row is arithmetic, so what a slice will never take
//! need not be kept.

use crate::data::{Feeder, OnEnd, Per, Pick};
use crate::model::{Iterations, Load, Plan};
use crate::schedule::{ArrivalSchedule, UserSchedule};
use crate::share::Share;

/// How often the rows may have been gone through before it is only guessed that each will be asked for.
const MOST_ROUNDS: u64 = 64;

/// The numbers under which the users of a load take rows (see `Turn`): load *l* of *L* takes *m·L + l*, where *m* is the
/// number of an arrival or user, or *k·U + u* for round *k* of user *u* of *U*.
struct Numbers {
    load: u64,
    loads: u64,
    /// *U*, in the closed model.
    users: Option<u64>,
    /// *m* stays below this.
    until: u64,
}

impl Numbers {
    /// Whether a number is one that this share's users ask with.
    fn are_asked(&self, number: u64, share: Share) -> bool {
        let m = number / self.loads;
        let owner = self.users.map_or(m, |users| m % users);
        number % self.loads == self.load
            && m < self.until
            && owner % u64::from(share.count()) == u64::from(share.index())
    }

    /// After so many numbers the same ones are asked again.
    fn period(&self, share: Share) -> Option<u64> {
        self.loads.checked_mul(self.users.unwrap_or(u64::from(share.count())))
    }
}

impl Plan {
    /// Lets go of the rows of data that this share of the plan never asks for.
    pub fn keep_rows_of(&mut self, share: Share) {
        if share.count() > 1 && !self.data.is_empty() {
            self.data =
                (0..).zip(self.data.iter()).map(|(index, feeder)| self.kept(index, feeder, share)).collect();
        }
    }

    fn kept(&self, index: usize, feeder: &Feeder, share: Share) -> Feeder {
        let table = self.wanted(index, feeder, share).and_then(|wanted| feeder.table.keep(wanted));
        Feeder { table: table.map_or_else(|| feeder.table.clone(), Into::into), ..feeder.clone() }
    }

    /// Which rows a share asks for; `None` if that may be any.
    fn wanted<'a>(
        &'a self,
        index: usize,
        feeder: &'a Feeder,
        share: Share,
    ) -> Option<impl Fn(u64) -> bool + use<'a>> {
        if feeder.pick == Pick::Random {
            return None;
        }
        let takes = |load: usize| {
            let mut scenarios = self.loads[load].scenarios.iter();
            scenarios.any(|&scenario| self.scenarios[scenario].data.contains(&index))
        };
        let loads = (0..self.loads.len()).filter(|load| takes(*load));
        let numbers: Vec<Numbers> =
            loads.map(|load| self.numbers(load, feeder.per)).collect::<Option<_>>()?;
        let rows = feeder.table.len();
        let rounds = if feeder.pick == Pick::Unique && feeder.on_end != OnEnd::Recycle {
            1
        } else {
            let last =
                numbers.iter().map(|numbers| numbers.until.saturating_mul(numbers.loads)).max().unwrap_or(0);
            let mut periods = numbers.iter().map(|numbers| numbers.period(share));
            let period = periods.try_fold(1, |all, own| least_common_multiple(all, own?));
            let until_the_same =
                period.map_or(u64::MAX, |period| period / greatest_common_divisor(rows, period));
            last.div_ceil(rows).min(until_the_same)
        };
        (rounds <= MOST_ROUNDS).then_some(move |row: u64| {
            let mut asking = (0..rounds).map(|round| row.saturating_add(round.saturating_mul(rows)));
            asking.any(|number| numbers.iter().any(|numbers| numbers.are_asked(number, share)))
        })
    }

    /// `None` if who asks cannot be told from the number.
    fn numbers(&self, load: usize, per: Per) -> Option<Numbers> {
        let (users, until) = match (&self.loads[load].load, per) {
            (Load::Open(_), Per::Use) => return None,
            (Load::Open(_), Per::User) => (None, u64::MAX),
            (Load::Open(load), Per::Iteration) => (None, ArrivalSchedule::new(load).total()),
            (Load::Closed(load), per) => {
                let users = u64::from(UserSchedule::new(load).users()).max(1);
                let rounds = match (per, load.iterations) {
                    (Per::User, _) => 1,
                    (Per::Iteration, Some(Iterations::PerUser(each))) => each,
                    _ => u64::MAX,
                };
                (Some(users), users.saturating_mul(rounds))
            }
        };
        Some(Numbers { load: load as u64, loads: self.loads.len() as u64, users, until })
    }
}

fn least_common_multiple(a: u64, b: u64) -> Option<u64> {
    (a / greatest_common_divisor(a, b).max(1)).checked_mul(b)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, Inputs, compile};

    /// How many of 1,000 rows each of so many slices keeps.
    fn kept(load: &str, data: &str, slices: u32) -> Vec<u64> {
        let text = format!(
            "target: http://127.0.0.1:1\ndata: {{ d: {{ csv: d.csv, {data} }} }}\nload: {load}\n\
             scenarios: {{ a: {{ steps: [ {{ get: '/{{{{ d.id }}}}' }} ] }} }}"
        );
        let rows: String = (0..1_000).map(|row| format!("{row},x\n")).collect();
        let file = format!("id,x\n{rows}").into_bytes();
        let bundle = Bundle::new("p.yaml", text.as_str(), Inputs::default()).with_files(|_| Ok(file.clone()));
        let one = |index| {
            let mut plan = compile(&bundle).unwrap_or_else(|told| panic!("{}", told.render(false))).plan;
            plan.keep_rows_of(Share::try_new(index, slices).unwrap());
            let table = &plan.data[0].table;
            let rows: Vec<u64> = (0..table.len()).filter(|row| table.row(*row).is_some()).collect();
            for row in &rows {
                assert_eq!(
                    table.row(*row).unwrap().get_attr("id").unwrap().as_str(),
                    Some(row.to_string().as_str())
                );
            }
            rows.len() as u64
        };
        (0..slices).map(one).collect()
    }

    #[test]
    fn each_slice_keeps_what_it_can_take_and_no_more() {
        let check = |load: &str, data: &str, expected: &[u64]| {
            let slices = u32::try_from(expected.len()).unwrap();
            assert_eq!(kept(load, data, slices), expected, "{load} {data}");
        };
        let users = "{ users: 50, duration: 1m }";
        check(users, "pick: unique, per: user", &[13, 13, 12, 12]);
        check(users, "pick: unique, per: iteration", &[260, 260, 240, 240]);
        check(users, "pick: unique, per: use", &[260, 260, 240, 240]);
        check(users, "pick: sequential", &[260, 260, 240, 240]);
        check(users, "pick: random", &[1_000; 4]);
        // Both numbers are divided by that of the slices, so each slice has the same rows again and again.
        check("{ users: 48, duration: 1m }", "pick: sequential", &[250; 4]);
        // In the end every user has had every row.
        check("{ users: 49, duration: 1m }", "pick: sequential", &[1_000; 4]);
        check("{ users: 49, duration: 1m }", "pick: sequential, per: user", &[13, 12, 12, 12]);
        check("{ users: 5, duration: 1m, iterations_per_user: 4 }", "pick: unique", &[8, 4, 4, 4]);
        check("{ rate: 10/s, duration: 1m }", "pick: unique", &[150; 4]);
        check("{ rate: 10/s, duration: 1m }", "pick: unique, per: user", &[250; 4]);
        check("{ rate: 10/s, duration: 10m }", "pick: sequential", &[250; 4]);
        check("{ rate: 10/s, duration: 10m }", "pick: sequential, per: use", &[1_000; 4]);
        check("[ { users: 2, duration: 1m }, { users: 3, duration: 1m } ]", "pick: unique", &[583, 417]);
    }
}
