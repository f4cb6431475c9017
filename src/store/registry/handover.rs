//! Credentials for those who read from a registry in hoist's stead.

use crate::diagnostic::Problem;
use crate::oci::RepositoryName;
use crate::store::registry::credentials::{self, Credentials};
use crate::store::{Access, Network};

impl Network {
    /// The user and the password for a repository, in clear: for an engine that reads
    /// there itself, and for nobody else. The user of an identity token is empty; `None`
    /// where one is nobody.
    ///
    /// # Errors
    /// The secret of a `login` cannot be found.
    pub async fn hand_over(
        &self,
        name: &RepositoryName,
        access: &Access,
    ) -> Result<Option<(String, String)>, Problem> {
        let found = credentials::find(name, access.login.as_ref(), self.surroundings()).await?;
        Ok(match found.credentials {
            Credentials::Anonymous => None,
            Credentials::Basic { username, password } => Some((username, password.reveal().to_owned())),
            Credentials::Identity(token) => Some((String::new(), token.reveal().to_owned())),
        })
    }
}
