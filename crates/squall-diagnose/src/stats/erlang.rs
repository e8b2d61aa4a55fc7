//! How many are turned away where a number at a time is served and nobody waits.

/// Erlang's formula (1917): the share that finds all of `servers` busy, where so much is offered that `load` of them would be
/// busy on average if there were enough. It holds whatever the distribution of times, for arrivals at random.
pub(crate) fn turned_away(load: f64, servers: u32) -> f64 {
    if load.is_nan() || load <= 0.0 {
        return if servers == 0 { 1.0 } else { 0.0 };
    }
    (1..=servers).fold(1.0, |share, server| load * share / (f64::from(server) + load * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_tables() {
        for (load, servers, share) in
            [(1.0, 1, 0.5), (5.0, 5, 0.2849), (10.0, 15, 0.0365), (100.0, 100, 0.0757)]
        {
            let found = turned_away(load, servers);
            assert!((found - share).abs() < 5e-4, "{load} {servers}: {found} instead of {share}");
        }
        for (load, servers, share) in [(0.0, 3, 0.0), (f64::NAN, 3, 0.0), (2.0, 0, 1.0), (0.0, 0, 1.0)] {
            assert!((turned_away(load, servers) - share).abs() < 1e-9, "{load} {servers}");
        }
    }
}
