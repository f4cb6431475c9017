//! What refers to a manifest of a layout: the index lists it without a name, as ORAS
//! does; lists under the fallback tag, which regclient writes, are read, too.

use crate::diagnostic::Problem;
use crate::oci::{Descriptor, Digest, Index};
use crate::store::Layout;
use crate::store::referrer::{fallback_tag, is_of, listing};

impl Layout {
    /// What refers to a manifest, of one type or of all, in the order of the index.
    ///
    /// # Errors
    /// The index, or a manifest that it lists, cannot be read.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Problem> {
        let fallback = fallback_tag(subject);
        let mut found: Vec<Descriptor> = Vec::new();
        for (name, top) in self.tops()? {
            let bytes = self.read(&top)?;
            let listed = if name.as_ref() == Some(&fallback) {
                Index::parse(&bytes).map(|index| index.manifests).map_err(|error| self.damaged(&error))?
            } else {
                let referring = listing(&top, &bytes).filter(|(referred, _)| referred == subject);
                referring.map(|(_, entry)| entry).into_iter().collect()
            };
            for entry in listed {
                let known = found.iter().any(|known| known.digest == entry.digest);
                if !known && is_of(&entry, artifact_type) {
                    found.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// Whether a listed manifest only says something about another.
    pub(super) fn is_referrer(&self, top: &Descriptor) -> Result<bool, Problem> {
        Ok(listing(top, &self.read(top)?).is_some())
    }
}
