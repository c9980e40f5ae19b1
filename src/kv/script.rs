//! Scripts: by their hash as a rule, by their text where Redis does not know them (any more).

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, ToRedisArgs};

use super::node::Connected;
use crate::telemetry::Asked;

/// A script in Lua. Its first argument is always the run of the server that it runs on.
#[derive(Debug)]
pub struct Script {
    name: &'static str,
    text: &'static str,
    hash: String,
}

impl Script {
    /// A script by its text. Traces show its name.
    pub fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// A call of this script on keys that all share one hash tag; arguments follow.
    pub fn on(&self, keys: impl IntoIterator<Item = String>) -> ScriptCall<'_> {
        ScriptCall { script: self, keys: keys.into_iter().collect(), args: Vec::new() }
    }
}

/// A script with its keys and arguments.
#[derive(Debug)]
pub struct ScriptCall<'a> {
    script: &'a Script,
    keys: Vec<String>,
    args: Vec<Vec<u8>>,
}

impl ScriptCall<'_> {
    /// Adds an argument.
    pub fn arg(&mut self, arg: impl ToRedisArgs) -> &mut Self {
        arg.write_redis_args(&mut self.args);
        self
    }

    /// What this is, for telemetry.
    pub(super) const fn asked(&self) -> Asked {
        Asked::Script(self.script.name)
    }

    /// The key that says where this runs.
    pub(super) fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    fn command(&self, verb: &str, body: &str, run: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(body).arg(self.keys.len()).arg(&self.keys).arg(run);
        for arg in &self.args {
            command.arg(arg.as_slice());
        }
        command
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        mut connected: Connected,
    ) -> Result<T, RedisError> {
        let known = self.command("EVALSHA", &self.script.hash, &connected.run);
        match known.query_async(&mut connected.connection).await {
            // Not SCRIPT LOAD first: this is one round trip, and nothing can come between.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let text = self.command("EVAL", self.script.text, &connected.run);
                text.query_async(&mut connected.connection).await
            }
            answer => answer,
        }
    }
}
