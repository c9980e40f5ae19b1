//! Ranges of IP addresses, as operators write them: `10.0.0.0/8, fd00::/8, 192.0.2.7`.

use std::{fmt, net::IpAddr, str::FromStr};

/// Addresses by range. None at all, when the text is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// The addresses that begin as `address` does, for `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Networks {
    /// Whether an address is in one of the ranges. An IPv4 address that was mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

impl Networks {
    /// Whether somebody else than this machine is in one of the ranges.
    pub fn has_others_than_this_machine(&self) -> bool {
        self.0.iter().any(|network| !network.address.is_loopback())
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let (own, width) = bits(self.address);
        let (other, other_width) = bits(address);
        let differ = (own ^ other).checked_shr(width - self.prefix).unwrap_or(0);
        width == other_width && differ == 0
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unfit = || format!("{text} is no address or range; write 10.0.0.5 or 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unfit())?;
        let (_, width) = bits(address);
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| unfit())?;
        if prefix > width {
            return Err(unfit());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Network { address, prefix }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{address}/{prefix}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_the_ranges_that_it_begins_like() {
        let networks: Networks =
            "10.0.0.0/8, 192.0.2.7,fd00::/8,::1, 198.51.100.0/25".parse().unwrap();
        for (address, inside) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:192.0.2.7", true),
            ("198.51.100.127", true),
            ("198.51.100.128", false),
            ("fdff::1", true),
            ("fe00::1", false),
            ("::1", true),
            ("::2", false),
            // The same bits as 10.0.0.1, and not the same address.
            ("::a00:1", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert_eq!(networks.to_string().parse(), Ok(networks));
    }

    #[test]
    fn everybody_and_nobody_can_be_written() {
        let everybody: Networks = "0.0.0.0/0,::/0".parse().unwrap();
        let nobody: Networks = " ".parse().unwrap();
        for address in ["1.2.3.4", "2001:db8::1"] {
            assert!(everybody.contains(address.parse().unwrap()), "{address}");
            assert!(!nobody.contains(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["x", "10.0.0.0/33", "10.0.0.0/", "::1/129", "10.0.0/8", "10.0.0.1/-1"] {
            let refused = text.parse::<Networks>().unwrap_err();
            assert!(refused.contains(text), "{refused}");
        }
    }
}
