//! Addresses of media: what is read means one thing, to everybody, and never a private address.
//!
//! Input: an address, a line feed, and where a redirect leads.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use libra_core::fetch::address::Address;
use libra_core::fetch::guard::{Guard, is_public};

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let (first, to) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(address) = Address::parse(first) else { return };
    check(&address);
    if let Ok(next) = address.redirect(to) {
        assert!(address.uri().scheme_str() != Some("https") || next.uri().scheme_str() == Some("https"));
        check(&next);
    }
});

fn check(address: &Address) {
    let text = address.uri().to_string();
    assert_eq!(Address::parse(&text).as_ref(), Ok(address), "{text}");
    assert!(matches!(address.uri().scheme_str(), Some("http" | "https")), "{text}");
    let authority = address.uri().authority().expect("an authority").as_str();
    assert!(!authority.contains('@') && authority.is_ascii() && !address.host().is_empty(), "{text}");
    let host = address.host().trim_matches(['[', ']']);
    if let Ok(ip) = host.parse::<IpAddr>() {
        let permitted = Guard::default().check_unresolved(host, 80).is_ok();
        assert_eq!(permitted, is_public(ip), "{text}");
    } else {
        let last = host.rsplit('.').next().unwrap_or_default();
        assert!(last.bytes().any(|byte| !byte.is_ascii_digit()), "a number that is no address: {text}");
    }
}
