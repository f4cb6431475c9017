//! Deleting (OCI distribution specification, "Content Management").

use reqwest::{Method, StatusCode};

use crate::diagnostic::Problem;
use crate::oci::Digest;
use crate::store::Registry;

/// What came of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// It was not there.
    Absent,
    /// The place allows none of the kind.
    NotAllowed(Problem),
}

impl Registry {
    /// Deletes a tag; or, by its digest, a manifest with all its tags. Blobs stay until
    /// the registry collects them. Many allow no deletion at all, or none of tags.
    ///
    /// # Errors
    /// The registry cannot be reached, or refuses.
    pub async fn delete(&self, name: &str) -> Result<Deletion, Problem> {
        let mut call = self.call(Method::DELETE, &format!("manifests/{name}"))?;
        call.scopes = vec![format!("repository:{}:pull,push,delete", self.name.path())];
        let response = self.connection.send(&call).await?;
        let shown = self.shown(name);
        match response.status() {
            StatusCode::NOT_FOUND => Ok(Deletion::Absent),
            status if status.is_success() => Ok(Deletion::Done),
            // The answers that the specification has for deletion that is turned off.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => {
                let host = self.connection.host();
                let refused = self.connection.refused("", response).await;
                let title = format!("the registry `{host}` does not allow deletion of `{shown}`");
                let help = if name.parse::<Digest>().is_ok() {
                    "turn deletion on in its settings, or use its own interface"
                } else {
                    "delete by the digest, which takes all tags of the image, or use its own interface"
                };
                Ok(Deletion::NotAllowed(Problem { title, ..refused }.help(help)))
            }
            _ => Err(self.connection.refused(&format!("delete `{shown}`"), response).await),
        }
    }
}
