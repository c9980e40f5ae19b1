//! Which slot of a Redis Cluster a key belongs to, and which node has it. Pure.

use redis::Value;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// The slot of a key: that of its hash tag, the part between the first `{` and the next `}`, if there is one.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty());
    crc16(tag.unwrap_or(key).as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as Redis Cluster prescribes.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// A range of slots and who owns them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub first: u16,
    pub last: u16,
    /// `host:port`.
    pub address: String,
}

/// The answer to CLUSTER SLOTS. A node that does not know its own name has that by which it was asked.
pub(super) fn parse(answer: &Value, asked: &str) -> Vec<Range> {
    let Value::Array(entries) = answer else { return Vec::new() };
    entries.iter().filter_map(|entry| range(entry, asked)).collect()
}

fn range(entry: &Value, asked: &str) -> Option<Range> {
    let Value::Array(parts) = entry else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(owner), ..] = parts.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = owner.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    Some(Range {
        first: u16::try_from(*first).ok()?,
        last: u16::try_from(*last).ok()?,
        address: address(&host, *port, asked),
    })
}

/// `host:port`; the host by which `asked` is known, where a node does not know its own.
fn address(host: &str, port: i64, asked: &str) -> String {
    let known = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
    let host = if host.is_empty() || host == "?" { known } else { host };
    format!("{host}:{port}")
}

/// Where a refusal with MOVED leads to: the `host:port` in it, which may lack the host.
pub(super) fn redirected(to: &str, asked: &str) -> Option<String> {
    let (host, port) = to.rsplit_once(':')?;
    Some(address(host, port.parse().ok()?, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("prefix:room:{foo}:waiting"), slot("{foo}"));
        assert_eq!(slot("{foo}"), 12_182);
        assert_eq!(slot("{}foo"), crc16(b"{}foo") % SLOTS);
        assert_eq!(slot("a{foo}{bar}"), 12_182);
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_node_without_a_name_has_that_by_which_it_was_asked() {
        let entry = |first, last, host, port| {
            let node = Value::Array(vec![host, Value::Int(port), bulk("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), node])
        };
        let answer = Value::Array(vec![
            entry(0, 99, bulk("10.0.0.1"), 7001),
            entry(100, 200, bulk(""), 7002),
            entry(201, 201, Value::Nil, 7003),
        ]);
        let range = |first, last, address: &str| Range { first, last, address: address.to_owned() };
        assert_eq!(
            parse(&answer, "redis.example:7002"),
            [
                range(0, 99, "10.0.0.1:7001"),
                range(100, 200, "redis.example:7002"),
                range(201, 201, "redis.example:7003")
            ]
        );
        assert_eq!(parse(&Value::Okay, "x:1"), []);
        assert_eq!(redirected("10.0.0.1:7001", "x:1").as_deref(), Some("10.0.0.1:7001"));
        assert_eq!(redirected(":7001", "x:1").as_deref(), Some("x:7001"));
        assert_eq!(redirected("nonsense", "x:1"), None);
    }
}
