//! Documents that clients name instead of sending them: by a hash that they agree on with the server as they go (Apollo's
//! automatic persisted queries, and `documentId` of GraphQL over HTTP), or by an id in the operator's list.
//!
//! What clients agree on is kept here and in Redis, so that every instance knows it. Redis has a fixed number of places for it,
//! and a document's hash says which is its own: strangers can fill these, and never more. Whoever finds another document in
//! their place sends theirs again. Only what the guard lets through is kept.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_graphql::{Name, Value, indexmap::IndexMap};
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};

use super::{document::Documents, error::Refusal, parameters::Parameters};
use crate::{app::TrustedDocuments, kernel::RequestCode, kv::Kv};

/// Places in Redis; a document has 16 KiB at most, so these are 32 MiB.
const PLACES: u16 = 2048;
/// How long a document is kept in Redis that no instance asks for.
const LIFETIME: Duration = Duration::from_hours(7 * 24);
/// How many bytes of documents an instance keeps, about.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 256;
/// What an id begins with that is a hash.
const HASHED: &str = "sha256:";

/// What a document is named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DocumentId {
    /// SHA-256 of its text.
    Hash([u8; 32]),
    /// Another id, which has a meaning in a list only.
    Other(Box<str>),
}

impl DocumentId {
    /// Reads what a request names its document by: `documentId`, or else `extensions.persistedQuery`.
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn of(
        document_id: Value,
        extensions: Option<&IndexMap<Name, Value>>,
    ) -> Result<Option<Self>, ()> {
        let by_apollo = match extensions.and_then(|extensions| extensions.get("persistedQuery")) {
            None | Some(Value::Null) => None,
            Some(Value::Object(named)) if named.get("version") == Some(&Value::from(1)) => {
                let Some(Value::String(hash)) = named.get("sha256Hash") else { return Err(()) };
                Some(Self::read(hash, hash).ok_or(())?)
            }
            Some(_) => return Err(()),
        };
        match document_id {
            Value::Null => Ok(by_apollo),
            Value::String(id) => {
                let hash = id.strip_prefix(HASHED);
                let read = Self::read(hash.unwrap_or_default(), &id);
                let broken = hash.is_some() && !matches!(read, Some(Self::Hash(_)));
                if broken { Err(()) } else { read.map(Some).ok_or(()) }
            }
            _ => Err(()),
        }
    }

    fn read(hash: &str, id: &str) -> Option<Self> {
        let hash = unhexed(hash).map(Self::Hash);
        let fits = !id.is_empty() && id.len() <= ID_BYTES_MAX;
        hash.or_else(|| fits.then(|| Self::Other(id.into())))
    }
}

fn unhexed(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        for digit in pair {
            let value =
                char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())?;
            *byte = (*byte << 4) | value;
        }
    }
    Some(hash)
}

fn hash_of(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// How documents are found that clients name.
pub(super) enum Persisted {
    /// They are not.
    Off,
    /// By hashes that clients and server agree on.
    Agreed(Agreed),
    /// In the operator's list, and nothing else runs.
    Listed(Listed),
}

/// Documents that clients have sent with their hashes.
pub(super) struct Agreed {
    known: Cache<[u8; 32], Arc<str>, Weight>,
    kv: Kv,
}

#[derive(Clone)]
struct Weight;

impl Weighter<[u8; 32], Arc<str>> for Weight {
    fn weight(&self, hash: &[u8; 32], text: &Arc<str>) -> u64 {
        u64::try_from(hash.len() + text.len()).unwrap_or(u64::MAX)
    }
}

/// The operator's list.
#[derive(Default)]
pub(super) struct Listed {
    by_hash: HashMap<[u8; 32], Arc<str>>,
    by_id: HashMap<Box<str>, Arc<str>>,
    texts: HashSet<Arc<str>>,
}

/// The document of a request.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) text: Arc<str>,
    /// It came with its hash, by which nobody knows it here yet.
    new: Option<[u8; 32]>,
}

impl Persisted {
    /// By hashes that clients and server agree on, kept there as well.
    pub(super) fn agreed(kv: Kv) -> Self {
        Self::Agreed(Agreed { known: Cache::with_weighter(1_000, CACHE_BYTES, Weight), kv })
    }

    /// In a list. What the guard would refuse is logged, and refused when it is asked for.
    pub(super) fn listed(documents: &TrustedDocuments) -> Self {
        let (mut listed, guard) = (Listed::default(), Documents::new());
        for (id, text) in documents.iter() {
            if let Err(refusal) = guard.prepare(text) {
                tracing::warn!(
                    id,
                    code = refusal.code.as_str(),
                    "a trusted document would be refused"
                );
            }
            // Whatever it is listed by, a client may say its hash; and what is listed by 64 digits may be called a hash.
            let called = unhexed(id.strip_prefix(HASHED).unwrap_or(id));
            listed.by_hash.extend(called.map(|hash| (hash, Arc::clone(text))));
            listed.by_hash.insert(hash_of(text), Arc::clone(text));
            listed.by_id.insert(id.into(), Arc::clone(text));
            listed.texts.insert(Arc::clone(text));
        }
        Self::Listed(listed)
    }

    /// Finds the document that a request sends or names.
    ///
    /// # Errors
    /// What clients of persisted documents wait for, word for word: PERSISTED_QUERY_NOT_SUPPORTED, and
    /// PERSISTED_QUERY_NOT_FOUND, after which they send it. BAD_REQUEST where hash and document differ, or it is not listed.
    pub(super) async fn find(&self, parameters: &Parameters) -> Result<Found, Refusal> {
        let (query, id) = (parameters.query.as_ref(), parameters.document_id.as_ref());
        match (self, query, id) {
            (Self::Listed(listed), query, id) => listed.find(query, id),
            (_, Some(query), None) | (Self::Off, Some(query), Some(_)) => Ok(Found::sent(query)),
            (Self::Agreed(agreed), Some(query), Some(id)) => agreed.agree(query, id),
            (Self::Agreed(agreed), None, Some(DocumentId::Hash(hash))) => {
                let text = agreed.look(hash).await.ok_or_else(not_found)?;
                Ok(Found { text, new: None })
            }
            (Self::Agreed(_), None, Some(DocumentId::Other(_))) => Err(not_found()),
            (Self::Off, None, Some(_)) => Err(Refusal::new(
                RequestCode::PersistedQueryNotSupported,
                "PersistedQueryNotSupported",
            )),
            (Self::Off | Self::Agreed(_), None, None) => {
                Err(bad_request("The request has no document."))
            }
        }
    }

    /// Keeps a document that the guard has let through, if it is new.
    pub(super) async fn keep(&self, found: &Found) {
        let (Self::Agreed(agreed), Some(hash)) = (self, found.new) else { return };
        agreed.known.insert(hash, Arc::clone(&found.text));
        let kept = agreed.kv.keep_text(&agreed.place(&hash), &found.text, LIFETIME).await;
        if let Err(fault) = kept {
            tracing::debug!(fault = %fault.report(), "a document is known to this instance alone");
        }
    }
}

impl Found {
    fn sent(text: &Arc<str>) -> Self {
        Self { text: Arc::clone(text), new: None }
    }
}

impl Agreed {
    fn agree(&self, query: &Arc<str>, id: &DocumentId) -> Result<Found, Refusal> {
        let DocumentId::Hash(hash) = id else {
            return Err(bad_request(
                "A document's id has to be its SHA-256 here, sha256: and 64 digits.",
            ));
        };
        if hash_of(query) != *hash {
            return Err(bad_request("The hash is not that of the document."));
        }
        let new = self.known.get(hash).is_none().then_some(*hash);
        Ok(Found { text: Arc::clone(query), new })
    }

    async fn look(&self, hash: &[u8; 32]) -> Option<Arc<str>> {
        if let Some(text) = self.known.get(hash) {
            return Some(text);
        }
        let text = self.kv.text(&self.place(hash), LIFETIME).await.ok().flatten()?;
        // Its place may have another one.
        let text: Arc<str> = (hash_of(&text) == *hash).then(|| text.into())?;
        self.known.insert(*hash, Arc::clone(&text));
        Some(text)
    }

    /// Where a document is kept. Each place is a key of its own, which in a cluster lives anywhere.
    fn place(&self, hash: &[u8; 32]) -> String {
        let number = u16::from_be_bytes([hash[0], hash[1]]) % PLACES;
        self.kv.name(&format!("document:{number}"))
    }
}

impl Listed {
    fn find(&self, query: Option<&Arc<str>>, id: Option<&DocumentId>) -> Result<Found, Refusal> {
        let listed = match (id, query) {
            (Some(DocumentId::Hash(hash)), _) => self.by_hash.get(hash),
            (Some(DocumentId::Other(id)), _) => self.by_id.get(id),
            (None, Some(query)) => self.texts.get(query),
            (None, None) => None,
        };
        let listed = listed.filter(|listed| query.is_none_or(|query| query == *listed));
        listed.map(Found::sent).ok_or_else(|| {
            bad_request("Only documents of the operator's list run here, and this is none of them.")
        })
    }
}

fn not_found() -> Refusal {
    Refusal::new(RequestCode::PersistedQueryNotFound, "PersistedQueryNotFound")
}

fn bad_request(message: &str) -> Refusal {
    Refusal::new(RequestCode::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{a}";
    const OTHER: &str = "{b}";

    fn hex(text: &str) -> String {
        hash_of(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn asked(query: Option<&str>, id: Option<&str>) -> Parameters {
        let asked = serde_json::json!({ "query": query, "documentId": id });
        Parameters::parse(asked.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_id_is_read_as_both_protocols_write_it() {
        let hash = hex(TEXT);
        let of_apollo = |version: i32, hash: &str| {
            let named =
                serde_json::json!({ "persistedQuery": { "version": version, "sha256Hash": hash } });
            let Ok(Value::Object(extensions)) = Value::from_json(named) else {
                panic!("an object")
            };
            DocumentId::of(Value::Null, Some(&extensions))
        };
        let read = |id: &str| DocumentId::of(id.into(), None);
        let expected = Ok(Some(DocumentId::Hash(hash_of(TEXT))));
        assert_eq!(of_apollo(1, &hash), expected);
        assert_eq!(of_apollo(1, &hash.to_uppercase()), expected);
        assert_eq!(read(&format!("sha256:{hash}")), expected);
        assert_eq!(read("x-1"), Ok(Some(DocumentId::Other("x-1".into()))));
        // Without the prefix it is an id of somebody's own.
        assert_eq!(read(&hash), Ok(Some(DocumentId::Other(hash.as_str().into()))));
        assert_eq!(DocumentId::of(Value::Null, None), Ok(None));
        for broken in ["", "sha256:", "sha256:00", &format!("sha256:{hash}0"), &"x".repeat(257)] {
            assert_eq!(read(broken), Err(()), "{broken}");
        }
        assert_eq!(of_apollo(2, &hash), Err(()));
        assert_eq!(of_apollo(1, ""), Err(()));
        assert_eq!(DocumentId::of(1.into(), None), Err(()));
    }

    #[tokio::test]
    async fn where_it_is_off_clients_are_told_and_send_the_document() {
        let id = format!("sha256:{}", hex(TEXT));
        let refused = Persisted::Off.find(&asked(None, Some(&id))).await.unwrap_err();
        assert_eq!(refused.code, RequestCode::PersistedQueryNotSupported);
        for id in [None, Some(id.as_str())] {
            let found = Persisted::Off.find(&asked(Some(TEXT), id)).await.unwrap();
            assert_eq!((&*found.text, found.new), (TEXT, None));
        }
    }

    #[tokio::test]
    async fn of_a_list_nothing_else_runs() {
        let json = serde_json::json!({ "one": TEXT, hex(OTHER): OTHER });
        let path =
            std::env::temp_dir().join(format!("frontrow-documents-{}.json", std::process::id()));
        std::fs::write(&path, json.to_string()).unwrap();
        let listed = Persisted::listed(&path.to_str().unwrap().parse().unwrap());
        std::fs::remove_file(path).unwrap();
        let hashed = |text: &str| format!("sha256:{}", hex(text));
        for (query, id) in [
            (None, Some("one".to_owned())),
            (None, Some(hashed(TEXT))),
            (Some(TEXT), Some("one".to_owned())),
            (Some(TEXT), None),
            (None, Some(hashed(TEXT).to_uppercase().replace("SHA256", "sha256"))),
        ] {
            let found = listed.find(&asked(query, id.as_deref())).await.unwrap();
            assert_eq!((&*found.text, found.new), (TEXT, None));
        }
        for id in [hashed(OTHER), hex(OTHER)] {
            let found = listed.find(&asked(None, Some(&id))).await.unwrap();
            assert_eq!(&*found.text, OTHER, "{id}");
        }
        for (query, id) in [
            (Some("{ a }"), None),
            (Some("{c}"), None),
            (Some("{c}"), Some("one".to_owned())),
            (Some("{c}"), Some(hashed("{c}"))),
            (None, Some("two".to_owned())),
            (None, Some(hashed("{c}"))),
        ] {
            let refused = listed.find(&asked(query, id.as_deref())).await.unwrap_err();
            assert_eq!(refused.code, RequestCode::BadRequest, "{query:?} {id:?}");
        }
    }
}
