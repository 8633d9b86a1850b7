//! Wrong keys, by address: whoever tries many is slowed down. A good key is never, wherever it comes from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Timestamp;

/// So many wrong keys may come from one network at once: somebody whose key was changed has several clients that go on.
const BURST: u64 = 20;

/// And one more after each of these.
const EVERY: Duration = Duration::from_secs(6);

/// So many networks are remembered, some 100 bytes each. Of more, those go first that could try most.
const NETWORKS: usize = 10_000;

/// Networks that have sent wrong keys, and when each would be forgiven all.
#[derive(Debug, Default)]
pub(crate) struct WrongKeys(HashMap<IpAddr, Timestamp>);

impl WrongKeys {
    /// Takes note of a wrong key.
    ///
    /// # Errors
    /// Too many have come from there: when another may be tried.
    pub(crate) fn note(&mut self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let network = network(address);
        if self.0.len() >= NETWORKS && !self.0.contains_key(&network) {
            self.0.retain(|_, forgiven| *forgiven > now);
            if self.0.len() >= NETWORKS {
                let mut all: Vec<Timestamp> = self.0.values().copied().collect();
                let (_, median, _) = all.select_nth_unstable(NETWORKS / 2);
                let median = *median;
                self.0.retain(|_, forgiven| *forgiven > median);
            }
        }
        let forgiven = self.0.entry(network).or_insert(now);
        let next = (*forgiven).max(now) + EVERY;
        let most = now + EVERY * u32::try_from(BURST).unwrap_or(u32::MAX);
        if next > most {
            return Err(next.since(most));
        }
        *forgiven = next;
        Ok(())
    }
}

/// Who has one address has the others of its /24 or /64, too, or can have them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::V4([a, b, c, 0].into())
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn a_burst_is_allowed_and_then_one_after_the_other() {
        let mut wrong = WrongKeys::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for _ in 0..BURST {
            assert_eq!(wrong.note(address("192.0.2.1"), NOW), Ok(()));
        }
        let wait = wrong.note(address("192.0.2.77"), NOW).expect_err("the same /24");
        assert_eq!(wait, EVERY);
        assert_eq!(wrong.note(address("198.51.100.1"), NOW), Ok(()), "another network");
        assert!(wrong.note(address("192.0.2.1"), NOW + wait - Duration::from_millis(1)).is_err());
        assert_eq!(wrong.note(address("192.0.2.1"), NOW + wait), Ok(()), "the wait is true");
        assert!(wrong.note(address("192.0.2.1"), NOW + wait).is_err());
        for _ in 0..BURST {
            assert_eq!(wrong.note(address("2001:db8::1"), NOW), Ok(()));
        }
        assert!(wrong.note(address("2001:db8::ffff:0:1"), NOW).is_err(), "the same /64");
        assert_eq!(wrong.note(address("2001:db8:0:1::1"), NOW), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_mildest() {
        let mut wrong = WrongKeys::default();
        let worst = IpAddr::from([203, 0, 113, 9]);
        (0..BURST).for_each(|_| wrong.note(worst, NOW).expect("within the burst"));
        for number in 0..3 * NETWORKS as u32 {
            wrong.note(IpAddr::from((number << 8).to_be_bytes()), NOW).expect("a first one");
        }
        assert!(wrong.0.len() <= NETWORKS, "{}", wrong.0.len());
        assert!(wrong.note(worst, NOW).is_err(), "it is not forgotten");
    }
}
