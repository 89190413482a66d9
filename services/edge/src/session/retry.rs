//! When clients come back that were sent away together: each a little later than it must, so that they do not come
//! together again.

/// The number of seconds that a client is told: at least so many, at most half as many more.
pub(crate) fn after(least_s: u64) -> u64 {
    least_s + rand::random_range(0..=least_s.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn hints_are_spread_and_never_too_early() {
        let hints: BTreeSet<_> = (0..1000).map(|_| after(30)).collect();
        assert!(hints.iter().all(|hint| (30..=45).contains(hint)) && hints.len() > 10, "{hints:?}");
        assert!((1..=2).contains(&after(1)));
        assert_eq!(after(0), 0);
    }
}
