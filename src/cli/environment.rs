//! Variables of the environment that are called as ours are, and are none: somebody has set something, and it would have
//! no effect.

use std::collections::BTreeSet;

use super::{Failed, files};

/// What every variable of ours begins with, but for the addresses of the stores.
const OURS: &str = "FRONTROW_";
/// Read by others that are started from the same shell: docker-compose.yml, the mock, the tests.
const OF_OTHERS: &[&str] = &["FRONTROW_COMPOSE_", "FRONTROW_MOCK_", "FRONTROW_TEST_"];
/// How alike two names have to be, from 0 to 1, for one to be meant by the other.
const ALIKE: f64 = 0.8;

/// Refuses variables that no command knows.
///
/// # Errors
/// Their names, and what may be meant by each.
pub(super) fn refuse_unknown(program: &clap::Command) -> Result<(), Failed> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        // A value that is no text is no address of a service either.
        Some((name.into_string().ok()?, value.into_string().unwrap_or_default()))
    });
    let unknown = unknown(&known(program), variables);
    if unknown.is_empty() { Ok(()) } else { Err(Failed::unusable(sentence(&unknown))) }
}

/// The names that commands know.
fn known(program: &clap::Command) -> BTreeSet<String> {
    let arguments = program.get_subcommands().flat_map(clap::Command::get_arguments);
    let names = arguments.flat_map(|argument| {
        let name = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        name.into_iter().chain(files::variable(argument))
    });
    names.collect()
}

/// A variable that is not known, and the one that is most like it, if any is.
#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    name: String,
    meant: Option<String>,
}

fn unknown(
    known: &BTreeSet<String>,
    variables: impl Iterator<Item = (String, String)>,
) -> Vec<Unknown> {
    let of_others = |name: &str| OF_OTHERS.iter().any(|prefix| name.starts_with(prefix));
    let mut unknown: Vec<_> = variables
        .filter(|(name, _)| name.starts_with(OURS) && !known.contains(name) && !of_others(name))
        .filter(|(name, value)| !is_service_link(name, value))
        .map(|(name, _)| Unknown { meant: nearest(known, &name), name })
        .collect();
    unknown.sort_by(|one, other| one.name.cmp(&other.name));
    unknown
}

/// What Kubernetes tells every pod of every service beside it; ours is called frontrow there.
fn is_service_link(name: &str, value: &str) -> bool {
    let protocol = |word: &str| ["TCP", "UDP", "SCTP"].contains(&word.to_uppercase().as_str());
    let addressed = value.split_once("://").is_some_and(|(scheme, _)| protocol(scheme));
    let numbered = name.split_once("_PORT_").is_some_and(|(_, port)| {
        let mut words = port.split('_');
        let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
        number && words.next().is_some_and(protocol)
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && addressed)
        || numbered
}

fn nearest(known: &BTreeSet<String>, name: &str) -> Option<String> {
    let plain = |name: &str| name.strip_prefix(OURS).unwrap_or(name).to_owned();
    let likeness = |other: &String| strsim::jaro_winkler(&plain(name), &plain(other));
    let alike = known.iter().map(|other| (likeness(other), other));
    let (likeness, other) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness >= ALIKE).then(|| other.clone())
}

fn sentence(unknown: &[Unknown]) -> String {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let shown = |name: &str| {
        if name.bytes().all(plain) { name.to_owned() } else { format!("{OURS}…") }
    };
    let told = unknown.iter().map(|it| match &it.meant {
        Some(meant) => format!("{} (is {meant} meant?)", shown(&it.name)),
        None => shown(&it.name),
    });
    let told: Vec<String> = told.collect();
    let (is, settings, them) = match unknown.len() {
        1 => ("is", "is no setting", "it"),
        _ => ("are", "are no settings", "them"),
    };
    format!(
        "{} {is} set in the environment and {settings}; rename {them} or unset {them}. `frontrow serve --help` tells all settings.",
        told.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let known =
            ["FRONTROW_LISTEN", "FRONTROW_HOLD_SECONDS", "FRONTROW_JWT_SECRET", "DATABASE_URL"];
        let known = known.map(str::to_owned).into();
        let variables = names.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        unknown(&known, variables).into_iter().map(|it| (it.name, it.meant)).collect()
    }

    #[test]
    fn a_name_that_nobody_knows_is_found_with_the_one_that_is_meant() {
        for (name, meant) in [
            ("FRONTROW_HOLD_SECS", Some("FRONTROW_HOLD_SECONDS")),
            ("FRONTROW_HOLDSECONDS", Some("FRONTROW_HOLD_SECONDS")),
            ("FRONTROW_JWT_SECERT", Some("FRONTROW_JWT_SECRET")),
            ("FRONTROW_LISTEN_ADDRESS", Some("FRONTROW_LISTEN")),
            ("FRONTROW_ZZZ", None),
            ("FRONTROW_", None),
        ] {
            assert_eq!(found(&[(name, "1")]), [(name.to_owned(), meant.map(str::to_owned))]);
        }
    }

    #[test]
    fn what_is_known_and_what_is_nobody_s_or_another_s_is_let_be() {
        for name in [
            "FRONTROW_LISTEN",
            "DATABASE_URL",
            "DATABASE_URLS",
            "PATH",
            "FRONTROW_TEST_SEED",
            "FRONTROW_MOCK_LISTEN",
        ] {
            assert_eq!(found(&[(name, "1")]), [], "{name}");
        }
    }

    #[test]
    fn the_links_of_kubernetes_are_no_settings() {
        for (name, value) in [
            ("FRONTROW_SERVICE_HOST", "10.0.0.1"),
            ("FRONTROW_SERVICE_PORT", "80"),
            ("FRONTROW_SERVICE_PORT_HTTP", "80"),
            ("FRONTROW_PORT", "tcp://10.0.0.1:80"),
            ("FRONTROW_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("FRONTROW_PORT_80_TCP_PROTO", "tcp"),
            ("FRONTROW_PORT_80_TCP_PORT", "80"),
            ("FRONTROW_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("FRONTROW_METRICS_PORT_9000_TCP_ADDR", "10.0.0.1"),
        ] {
            assert_eq!(found(&[(name, value)]), [], "{name}");
        }
        for (name, value) in [("FRONTROW_PORT", "8001"), ("FRONTROW_PORT_X", "tcp://10.0.0.1:80")] {
            assert_eq!(found(&[(name, value)]).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_sentence_names_them_and_repeats_nothing_odd() {
        let of = |names: &[(&str, Option<&str>)]| {
            let unknown = names.iter().map(|(name, meant)| Unknown {
                name: (*name).to_owned(),
                meant: meant.map(str::to_owned),
            });
            sentence(&unknown.collect::<Vec<_>>())
        };
        let told = of(&[("FRONTROW_A", None)]);
        assert!(
            told.starts_with("FRONTROW_A is set in the environment and is no setting; rename it"),
            "{told}"
        );
        let told = of(&[("FRONTROW_A", None), ("FRONTROW_B", Some("FRONTROW_C"))]);
        assert!(
            told.starts_with("FRONTROW_A and FRONTROW_B (is FRONTROW_C meant?) are set"),
            "{told}"
        );
        let told = of(&[("FRONTROW_postgres://u:S3cr3t@h", None)]);
        assert!(told.starts_with("FRONTROW_… is set"), "{told}");
    }
}
