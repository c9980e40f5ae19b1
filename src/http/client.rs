//! Who is at the other end: the peer, or the one whom a trusted proxy speaks for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;

use crate::app::Networks;

/// What proxies add the address to from which a request came to them.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// So many proxies may stand one behind the other. What a client writes into the header itself is never looked at, but by a
/// proxy that is trusted and adds nothing.
const HOPS_MAX: usize = 16;

/// The client's address; with IPv6, its network. `None` when a trusted proxy does not say whom it speaks for.
///
/// Every proxy adds its peer at the right of X-Forwarded-For, and what stands further left may have been made up. So it is read
/// from the right, for as long as trusted proxies are named.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
    if !trusted.contains(peer) {
        return Some(network(peer));
    }
    let values = headers.get_all(FORWARDED_FOR).into_iter().rev();
    let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(HOPS_MAX) {
        let hop = parse(hop)?;
        if !trusted.contains(hop) {
            return Some(network(hop));
        }
    }
    None
}

/// An address as proxies write it, some with a port.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().map(|address: SocketAddr| address.ip()).ok())
}

/// What counts as one address: with IPv6, the network that one customer has.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            Ipv6Addr::from(segments).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(peer: &str, forwarded: &[&str]) -> Option<String> {
        let trusted = "10.0.0.0/8, 127.0.0.1, fd00::/8".parse().unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        address(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_added() {
        for (peer, forwarded, client) in [
            ("192.0.2.1", &[][..], Some("192.0.2.1")),
            ("192.0.2.1", &["198.51.100.1"], Some("192.0.2.1")),
            ("10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.7,127.0.0.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.1 , 10.0.0.7"], Some("198.51.100.1")),
            ("10.0.0.1", &["evil, 198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["198.51.100.1:4711"], Some("198.51.100.1")),
            ("10.0.0.1", &["::ffff:198.51.100.1"], Some("198.51.100.1")),
            ("::ffff:10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["2001:db8:1:2:3:4:5:6"], Some("2001:db8:1:2::")),
            ("10.0.0.1", &["[2001:db8:1:2::9]"], Some("2001:db8:1:2::")),
            ("10.0.0.1", &["[2001:db8:1:2::9]:443"], Some("2001:db8:1:2::")),
            ("2001:db8::9", &[], Some("2001:db8::")),
            // It does not say whom it speaks for, or speaks for another proxy only.
            ("10.0.0.1", &[], None),
            ("10.0.0.1", &[""], None),
            ("10.0.0.1", &["unknown"], None),
            ("10.0.0.1", &["198.51.100.1, unknown"], None),
            ("10.0.0.1", &["10.0.0.2"], None),
        ] {
            assert_eq!(read(peer, forwarded).as_deref(), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_chain_without_end_is_not_followed() {
        let chain = vec!["10.0.0.2"; HOPS_MAX].join(",");
        assert_eq!(read("10.0.0.1", &[&format!("198.51.100.1,{chain}")]), None);
        let chain = vec!["10.0.0.2"; HOPS_MAX - 1].join(",");
        let read = read("10.0.0.1", &[&format!("198.51.100.1,{chain}")]);
        assert_eq!(read.as_deref(), Some("198.51.100.1"));
    }
}
