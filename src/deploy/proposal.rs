//! The commit of a pull request: on a branch of its own, made anew on top of the branch that
//! it is for.

use std::path::Path;

use crate::deploy::gitops::{Gitops, not_taken};
use crate::deploy::manifests::Sent;
use crate::diagnostic::Problems;
use crate::facts::Environment;

/// How often the branch is made again because somebody else was faster.
const RACES: u32 = 8;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// The manifests say so already.
    Nothing,
    /// There is a branch with the commit.
    Branch {
        /// The branch that it is for.
        base: String,
        /// Whether it was there already.
        again: bool,
    },
}

impl Gitops {
    /// The address of the repository, as git takes it.
    ///
    /// # Errors
    /// There is no repository, or no git.
    pub fn address(&self, root: &Path, environment: &Environment) -> Result<Option<String>, Problems> {
        Ok(self.open(root, environment)?.address()?)
    }

    /// Puts the edits on a branch of their own, whatever that held.
    ///
    /// # Errors
    /// The manifests cannot be fetched or edited; the remote does not take the branch.
    pub fn propose(&self, root: &Path, environment: &Environment, head: &str) -> Result<Proposed, Problems> {
        let manifests = self.open(root, environment)?;
        let mut why = String::new();
        for _ in 0..RACES {
            let here = |problem| self.here(problem);
            let tip = manifests.fetch().map_err(here)?;
            let files = self.edited(&manifests, &tip)?;
            if files.is_empty() {
                return Ok(Proposed::Nothing);
            }
            let seen = manifests.fetch_other(head).map_err(here)?;
            let commit = manifests.commit(&tip, &files, &self.message).map_err(here)?;
            let made = manifests.tree_and_parent(&commit)?;
            let again = match &seen {
                Some(seen) => manifests.tree_and_parent(seen)? == made,
                None => false,
            };
            let sent =
                if again { Sent::Taken } else { manifests.send_other(head, seen.as_deref(), &commit)? };
            match sent {
                Sent::Taken => {
                    return Ok(Proposed::Branch { base: manifests.branch.clone(), again });
                }
                Sent::Refused(said) => why = said,
            }
        }
        Err(self.here(not_taken(&manifests, &why)).into())
    }
}
