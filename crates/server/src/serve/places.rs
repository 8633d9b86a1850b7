//! How many connections there may be: altogether, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many connections one address of the internet may have, where nothing is set. Many people may sit behind one, each
/// with some tens.
const OF_ADDRESS: usize = 1000;

/// What an idle connection takes in memory, with room to spare: its buffers, its task, and what the system has for it.
const BYTES_OF_CONNECTION: u64 = 16 << 10;

/// Files that are no connections: the store, logs, listeners, the runtime's own.
const OTHER_FILES: u64 = 256;

/// Where nothing is known of the machine.
const USUAL: usize = 10_000;

/// The places for connections.
pub(crate) struct Places {
    most: usize,
    of_address: OfAddress,
    held: Mutex<Held>,
}

/// How many one address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfAddress {
    Any,
    Every(usize),
    Public(usize),
}

#[derive(Default)]
struct Held {
    all: usize,
    /// Only of addresses that are counted; never more entries than connections.
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    counted: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Altogether,
    ForAddress,
}

impl Places {
    /// So many altogether and from one address, as set; where not set, by what the machine has.
    pub(crate) fn new(
        altogether: Option<usize>,
        of_address: Option<usize>,
        files: Option<u64>,
        memory: Option<u64>,
    ) -> Arc<Self> {
        let of_address = match of_address {
            None => OfAddress::Public(OF_ADDRESS),
            Some(0) => OfAddress::Any,
            Some(most) => OfAddress::Every(most),
        };
        let most = altogether.unwrap_or_else(|| usual(files, memory));
        Arc::new(Self { most, of_address, held: Mutex::default() })
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// A place for a connection from `address`; `is_trusted`: a proxy of ours, whose clients are many.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, is_trusted: bool) -> Result<Place, Full> {
        let address = network(address);
        let most = match self.of_address {
            _ if is_trusted => None,
            OfAddress::Any => None,
            OfAddress::Every(most) => Some(most),
            OfAddress::Public(most) => (!is_private(address)).then_some(most),
        };
        let mut held = self.held();
        if held.all >= self.most {
            return Err(Full::Altogether);
        }
        if let Some(most) = most {
            let of_address = held.by_address.entry(address).or_default();
            if *of_address >= most {
                return Err(Full::ForAddress);
            }
            *of_address += 1;
        }
        held.all += 1;
        Ok(Place { places: Arc::clone(self), counted: most.map(|_| address) })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Counting cannot be interrupted halfway.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        held.all -= 1;
        if let Some(address) = self.counted
            && let Some(count) = held.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                held.by_address.remove(&address);
            }
        }
    }
}

/// Half of the files, as each request has a connection to the upstream, too; and half of the memory.
fn usual(files: Option<u64>, memory: Option<u64>) -> usize {
    let by_files = files.map(|files| files.saturating_sub(OTHER_FILES) / 2);
    let by_memory = memory.map(|memory| memory / 2 / BYTES_OF_CONNECTION);
    let most = by_files.into_iter().chain(by_memory).min();
    most.map_or(USUAL, |most| usize::try_from(most).unwrap_or(USUAL).clamp(100, 1_000_000))
}

/// An address as one client has it: of IPv6 the /64, as a network has no fewer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Loopback and the networks that are nobody's on the internet: there are proxies, and people who are known.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[..4] == [0; 4] || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let places = Places::new(Some(100), Some(2), None, None);
        let taken: Vec<_> = (0..2).map(|_| places.take(ip("192.0.2.1"), false).ok()).collect();
        assert_eq!(places.take(ip("192.0.2.1"), false).err(), Some(Full::ForAddress));
        assert_eq!(places.take(ip("::ffff:192.0.2.1"), false).err(), Some(Full::ForAddress));
        assert!(places.take(ip("192.0.2.1"), true).is_ok(), "our own proxy");
        assert!(places.take(ip("192.0.2.2"), false).is_ok());
        drop(taken);
        assert!(places.take(ip("192.0.2.1"), false).is_ok());
        assert!(places.held().by_address.is_empty());
    }

    #[test]
    fn a_network_of_the_newer_kind_counts_as_one_address() {
        let places = Places::new(Some(100), Some(1), None, None);
        let _taken = places.take(ip("2001:db8::1"), false).expect("a place");
        assert!(places.take(ip("2001:db8::2"), false).is_err());
        assert!(places.take(ip("2001:db8:0:1::2"), false).is_ok());
    }

    #[test]
    fn without_a_setting_private_addresses_are_not_counted() {
        let places = Places::new(Some(5000), None, None, None);
        for (address, most) in
            [("127.0.0.1", 1100), ("10.1.2.3", 1100), ("fd00::1", 1100), ("192.0.2.1", 1000)]
        {
            let taken: Vec<_> = (0..1100).map_while(|_| places.take(ip(address), false).ok()).collect();
            assert_eq!(taken.len(), most, "{address}");
        }
    }

    #[test]
    fn the_machine_says_how_many_there_are() {
        let check = |files, memory, expected| assert_eq!(usual(files, memory), expected);
        check(None, None, USUAL);
        check(Some(1024), None, 384);
        check(Some(1_000_000), Some(256 << 20), 8192);
        check(Some(100), Some(1), 100);
    }
}
