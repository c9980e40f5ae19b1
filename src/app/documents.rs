//! Which documents run: whether clients may name them, and those that an operator trusts, in a file that a build of the clients wrote.

use std::{collections::HashMap, fmt, fs, str::FromStr, sync::Arc};

use clap::{ArgAction, Args};
use serde_json::Value;

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The longest id of a document, in bytes.
const ID_BYTES_MAX: usize = 256;

const WRITTEN: &str = "it is an object of documents by their ids, as graphql-codegen and Relay write it, or a manifest of Apollo's";

/// Which documents run, and how clients may name them.
#[derive(Debug, Clone, Args)]
pub struct DocumentArgs {
    /// Whether clients may send a document once, with its hash, and name it by that from then on; they are kept in Redis.
    #[arg(long, env = "FRONTROW_PERSISTED_DOCUMENTS", default_value_t = true, action = ArgAction::Set,
          value_name = "true|false")]
    pub persisted_documents: bool,
    /// A file of documents, as builds of clients write it: JSON with documents by their ids, or a manifest of Apollo's. With it, no other
    /// document runs.
    #[arg(long, env = "FRONTROW_TRUSTED_DOCUMENTS", value_name = "FILE")]
    pub trusted_documents: Option<TrustedDocuments>,
}

/// Documents by the ids that clients name them by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrustedDocuments(Arc<HashMap<String, Arc<str>>>);

impl TrustedDocuments {
    /// Each with its id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.0.iter().map(|(id, text)| (id.as_str(), text))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, as the second half of a sentence.
    fn read(json: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(json)
            .map_err(|error| format!("it is no JSON at line {}: {WRITTEN}", error.line()))?;
        let listed = match json.get("operations") {
            Some(Value::Array(operations)) => operations
                .iter()
                .map(|operation| Some((operation.get("id")?, operation.get("body")?)))
                .collect(),
            _ => None,
        };
        let pairs: Vec<(&str, &str)> = match (&json, listed) {
            (_, Some(listed)) => {
                let listed: Vec<(&Value, &Value)> = listed;
                listed.into_iter().map(|(id, text)| Some((id.as_str()?, text.as_str()?))).collect()
            }
            (Value::Object(documents), None) => {
                documents.iter().map(|(id, text)| Some((id.as_str(), text.as_str()?))).collect()
            }
            _ => None,
        }
        .ok_or_else(|| format!("it has something else in it: {WRITTEN}"))?;
        if pairs.is_empty() {
            return Err(format!("it has no document in it: {WRITTEN}"));
        }
        let mut documents = HashMap::with_capacity(pairs.len());
        for (id, text) in pairs {
            if id.is_empty() || id.len() > ID_BYTES_MAX {
                return Err(format!("an id in it is empty or longer than {ID_BYTES_MAX} bytes"));
            }
            if documents.insert(id.to_owned(), Arc::from(text)).is_some() {
                return Err(format!("the id {id} stands in it twice"));
            }
        }
        Ok(Self(Arc::new(documents)))
    }
}

impl FromStr for TrustedDocuments {
    type Err = String;

    /// Reads the file of that name.
    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let unread = |error: std::io::Error| format!("the file cannot be read: {error}");
        let length = fs::metadata(path).map_err(unread)?.len();
        if length > FILE_BYTES_MAX {
            return Err("the file is larger than 16 MiB".to_owned());
        }
        Self::read(&fs::read_to_string(path).map_err(unread)?)
    }
}

impl fmt::Debug for TrustedDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedDocuments({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<(String, String)>, String> {
        let documents = TrustedDocuments::read(json)?;
        let mut all: Vec<_> =
            documents.iter().map(|(id, text)| (id.to_owned(), text.as_ref().to_owned())).collect();
        all.sort();
        Ok(all)
    }

    #[test]
    fn what_builds_of_clients_write_is_read() {
        let both = [("a".to_owned(), "{a}".to_owned()), ("b".to_owned(), "{b}".to_owned())];
        assert_eq!(read(r#"{"a":"{a}","b":"{b}"}"#).unwrap(), both);
        let manifest = r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":[
            {"id":"b","name":"B","type":"query","body":"{b}"},{"id":"a","name":"A","type":"query","body":"{a}"}]}"#;
        assert_eq!(read(manifest).unwrap(), both);
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_one_is() {
        for (json, why) in [
            ("", "no JSON at line 1"),
            ("{\n\"a\":", "no JSON at line 2"),
            ("[]", "something else"),
            ("{}", "no document"),
            (r#"{"operations":[]}"#, "no document"),
            (r#"{"operations":[{"id":"a"}]}"#, "something else"),
            (r#"{"a":1}"#, "something else"),
            (r#"{"operations":[{"id":1,"body":"{a}"}]}"#, "something else"),
            (
                r#"{"operations":[{"id":"a","body":"{a}"},{"id":"a","body":"{b}"}]}"#,
                "stands in it twice",
            ),
            (r#"{"":"{a}"}"#, "is empty or longer"),
        ] {
            let told = read(json).unwrap_err();
            assert!(told.contains(why), "{json}: {told}");
        }
        let told = "/nowhere/documents.json".parse::<TrustedDocuments>().unwrap_err();
        assert!(told.starts_with("the file cannot be read"), "{told}");
    }
}
