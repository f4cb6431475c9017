//! What the steps of targets were planned with.

use crate::config::{Consulted, Fact, Release};
use crate::facts::{Facts, Scope};

/// Separates this from every other use of BLAKE3.
const DOMAIN: &str = "hoist 2026-11 world of targets";

impl Facts {
    /// The digest of all that the steps of targets depend on beside the text of
    /// the release and the files of the project: values of the facts and variables
    /// that are consulted, values given on the command line, and what tools said.
    #[must_use]
    pub fn world(&self, release: &Release, consulted: &Consulted) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(DOMAIN);
        let mut feed = |bytes: Option<&[u8]>| {
            let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
            hasher.update(&length.to_le_bytes()).update(bytes.unwrap_or_default());
        };
        let scope = Scope::new(release, self);
        for fact in &consulted.facts {
            feed(scope.known(*fact).as_deref().map(str::as_bytes));
            if *fact == Fact::Date {
                // Its format may show more than the day.
                feed(scope.known(Fact::CommitTime).as_deref().map(str::as_bytes));
            }
        }
        for name in &consulted.variables {
            feed(self.environment.get(name).map(std::ffi::OsStr::as_encoded_bytes));
        }
        for (name, value) in &self.overrides {
            feed(Some(name.as_bytes()));
            feed(Some(value.as_bytes()));
        }
        for output in &self.tools {
            feed(Some(output.as_bytes()));
        }
        feed(self.git.as_ref().and_then(|git| git.remote.as_deref()).map(str::as_bytes));
        feed(Some(self.os.as_bytes()));
        feed(Some(self.platform.to_string().as_bytes()));
        *hasher.finalize().as_bytes()
    }
}
