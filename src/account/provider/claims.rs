//! What a provider says of a person. Pure.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Newcomer, ProviderSettings};
use crate::{
    account::{address, rules},
    kernel::{PersonId, Role, Timestamp},
};

/// The longest name of a person at the provider, in bytes (OpenID Connect Core, section 2).
const SUBJECT_BYTES_MAX: usize = 255;
/// What to call somebody whose provider tells no name.
const NAMELESS: &str = "Guest";

/// A token's claims, after its signature was checked.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    exp: f64,
    #[serde(default)]
    pub(super) sid: Option<String>,
    #[serde(default)]
    pub(super) jti: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    /// Whether it names somebody whom the table can hold.
    pub(super) fn is_usable(&self) -> bool {
        let length = self.sub.len();
        (1..=SUBJECT_BYTES_MAX).contains(&length) && !self.sub.contains('\0')
    }

    /// When it ends.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast from f64 stays within the range"
        )]
        let seconds = self.exp as i64;
        DateTime::from_timestamp(seconds, 0)
    }

    /// What the person may do. Without a claim that says so, nobody is an organizer.
    pub(super) fn role(&self, settings: &ProviderSettings) -> Role {
        let Some(path) = &settings.role_claim else { return Role::Fan };
        let mut steps = path.split('/');
        let mut found = steps.next().and_then(|step| self.others.get(step));
        for step in steps {
            found = found.and_then(|value| value.get(step));
        }
        let organizer = match found {
            Some(Value::String(role)) => *role == settings.organizer_role,
            Some(Value::Array(roles)) => {
                roles.iter().any(|role| role.as_str() == Some(&*settings.organizer_role))
            }
            _ => false,
        };
        if organizer { Role::Organizer } else { Role::Fan }
    }

    /// What is taken of somebody who comes for the first time: an address only when the provider has checked that it is theirs.
    pub(super) fn newcomer(&self, role: Role) -> Newcomer {
        let text = |name: &str| self.others.get(name).and_then(Value::as_str);
        let checked = self.others.get("email_verified").and_then(Value::as_bool) == Some(true);
        let email = text("email").filter(|_| checked).and_then(|email| address::email(email).ok());
        let name = text("name").or_else(|| text("preferred_username"));
        let name = name.and_then(|name| rules::name(name).ok());
        let name = name.unwrap_or_else(|| NAMELESS.to_owned());
        Newcomer { id: PersonId::new(), email, name, role }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(others: Value) -> Claims {
        let mut all = json!({ "iss": "https://id.example", "sub": "s", "exp": 1 });
        all.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn settings(role_claim: Option<&str>) -> ProviderSettings {
        ProviderSettings {
            issuer: "https://id.example".to_owned(),
            audience: "frontrow".to_owned(),
            jwks_url: "https://id.example/jwks".parse().unwrap(),
            role_claim: role_claim.map(str::to_owned),
            organizer_role: "organizer".to_owned(),
        }
    }

    #[test]
    fn only_the_configured_claim_makes_an_organizer() {
        let role = |path, others| claims(others).role(&settings(path));
        assert_eq!(role(None, json!({ "roles": ["organizer"] })), Role::Fan);
        for organizer in [json!("organizer"), json!(["fan", "organizer"])] {
            assert_eq!(role(Some("roles"), json!({ "roles": organizer })), Role::Organizer);
            let nested = json!({ "realm": { "roles": organizer } });
            assert_eq!(role(Some("realm/roles"), nested), Role::Organizer);
        }
        for none in [json!("Organizer"), json!(["organizers"]), json!(true), json!({}), json!(null)]
        {
            assert_eq!(role(Some("roles"), json!({ "roles": none })), Role::Fan);
        }
        assert_eq!(role(Some("role"), json!({ "roles": "organizer" })), Role::Fan);
    }

    #[test]
    fn an_address_that_was_not_checked_is_not_taken() {
        let email = |others| claims(others).newcomer(Role::Fan).email;
        let good = json!({ "email": " mina@example.com", "email_verified": true });
        assert_eq!(email(good).as_deref(), Some("mina@example.com"));
        for others in [
            json!({}),
            json!({ "email": "mina@example.com" }),
            json!({ "email": "mina@example.com", "email_verified": false }),
            json!({ "email": "mina@example.com", "email_verified": "true" }),
            json!({ "email": "no address", "email_verified": true }),
            json!({ "email": 1, "email_verified": true }),
        ] {
            assert_eq!(email(others.clone()), None, "{others}");
        }
    }

    #[test]
    fn a_name_is_found_or_made_up() {
        let name = |others| claims(others).newcomer(Role::Fan).name;
        assert_eq!(name(json!({ "name": " 박민아 ", "preferred_username": "m" })), "박민아");
        assert_eq!(name(json!({ "preferred_username": "m" })), "m");
        for others in [
            json!({}),
            json!({ "name": "" }),
            json!({ "name": "a\nb" }),
            json!({ "name": "\u{3164}" }),
            json!({ "name": 1 }),
        ] {
            assert_eq!(name(others), NAMELESS);
        }
    }

    #[test]
    fn a_subject_fits_the_table() {
        let usable = |sub: &str| claims(json!({ "sub": sub })).is_usable();
        assert!(usable("s") && usable(&"s".repeat(255)));
        assert!(!usable("") && !usable(&"s".repeat(256)) && !usable("a\0"));
    }
}
