//! Which addresses of the network are connected to: public ones, and those that the settings name.
//!
//! A shell asks for each address that a name led to, and connects to exactly one that was permitted: a name that
//! is looked up twice may lead elsewhere the second time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What is not on the internet, by IANA's registries of special addresses. `168.63.129.16` looks public and is
/// where Azure answers its machines.
const NOT_PUBLIC_V4: [Ipv4Net; 17] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(168, 63, 129, 16, 32),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
];

/// All that is given out on the internet.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// What of it is not meant for hosts: protocols' own (Teredo and benchmarks among them), documentation, and 6to4,
/// which hides an IPv4 address that a relay may reach.
const NOT_PUBLIC_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 0, 23), v6(0x2001, 0xdb8, 0, 32), v6(0x2002, 0, 0, 16), v6(0x3fff, 0, 0, 20)];

/// IPv4 through a NAT64: where there is nothing but IPv6, this is the internet's other half.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, c: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

/// Who is connected to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
}

/// Why somebody is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// An address that is not on the internet.
    NotPublic,
    /// Another port than those of http and https.
    Port,
}

impl Guard {
    /// A guard that lets through to these networks, too, and there to any port.
    pub fn new(allowed: &[IpNet]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refused> {
        let ip = address.ip();
        let canonical = ip.to_canonical();
        if self.allowed.iter().any(|network| network.contains(&ip) || network.contains(&canonical)) {
            return Ok(());
        }
        if !is_public(ip) {
            return Err(Refused::NotPublic);
        }
        if matches!(address.port(), 80 | 443) { Ok(()) } else { Err(Refused::Port) }
    }

    /// Whether a proxy may be asked for a host. What its name leads to is the proxy's to guard; an address, and a
    /// name that never leads to the internet, are refused here.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_unresolved(&self, host: &str, port: u16) -> Result<(), Refused> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.check(SocketAddr::new(ip, port));
        }
        const INNER: [&str; 4] = ["localhost", "local", "internal", "arpa"];
        let top = host.rsplit('.').next().unwrap_or_default();
        if INNER.iter().any(|inner| inner.eq_ignore_ascii_case(top)) {
            return Err(Refused::NotPublic);
        }
        if matches!(port, 80 | 443) { Ok(()) } else { Err(Refused::Port) }
    }
}

impl Refused {
    /// For the client, to go on after a host's name.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotPublic => "its address is not a public one (LIBRA_FETCH_ALLOW can allow it)",
            Self::Port => "only the ports 80 and 443 are fetched from",
        }
    }
}

/// Whether an address is one of the internet, of a host.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => match address.to_ipv4_mapped().or_else(|| behind_nat64(address)) {
            Some(inner) => is_public(IpAddr::V4(inner)),
            None => {
                GLOBAL_V6.contains(&address)
                    && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
            }
        },
    }
}

fn behind_nat64(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    NAT64.contains(&address).then_some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_internet_and_others() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ];
        let others = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for (addresses, expected) in [(&public[..], true), (&others[..], false)] {
            for address in addresses {
                assert_eq!(is_public(address.parse().expect("an address")), expected, "{address}");
            }
        }
    }

    #[test]
    fn the_settings_may_allow_more() {
        let guard = Guard::new(&["127.0.0.0/8".parse().expect("a network")]);
        let check = |address: &str, expected| {
            assert_eq!(guard.check(address.parse().expect("an address")), expected, "{address}");
        };
        check("127.0.0.1:9", Ok(()));
        check("[::ffff:127.0.0.1]:9", Ok(()));
        check("[::1]:80", Err(Refused::NotPublic));
        check("10.0.0.1:80", Err(Refused::NotPublic));
        check("8.8.8.8:80", Ok(()));
        check("8.8.8.8:443", Ok(()));
        check("8.8.8.8:22", Err(Refused::Port));
    }

    #[test]
    fn what_a_proxy_is_asked_for() {
        let check = |host, port, expected| {
            assert_eq!(Guard::default().check_unresolved(host, port), expected, "{host}:{port}");
        };
        check("example.com", 443, Ok(()));
        check("example.com", 8080, Err(Refused::Port));
        check("[::1]", 80, Err(Refused::NotPublic));
        check("169.254.169.254", 80, Err(Refused::NotPublic));
        check("LOCALHOST", 80, Err(Refused::NotPublic));
        check("metadata.google.internal", 80, Err(Refused::NotPublic));
        check("printer.local", 80, Err(Refused::NotPublic));
    }
}
