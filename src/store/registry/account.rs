//! Who one is at a registry: shown and checked.

use reqwest::Method;

use crate::diagnostic::Problem;
use crate::oci::RepositoryName;
use crate::store::registry::answer::refused;
use crate::store::registry::connection::{Access, Call, Connection};
use crate::store::registry::credentials::{self, Credentials, Found};
use crate::store::registry::secret::Password;
use crate::store::registry::{Network, Registry};

/// Who one is at a registry, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub who: Who,
    /// Where the credentials were found; `None` for nobody.
    pub source: Option<String>,
    /// What went wrong while they were looked for.
    pub notes: Vec<String>,
}

/// Whom a registry sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody.
    Anonymous,
    /// A user with a password.
    User(String),
    /// The bearer of a token.
    Token,
}

impl Network {
    /// Who one is for a repository. Nothing is sent.
    ///
    /// # Errors
    /// The secret of a `login` cannot be found.
    pub async fn account(&self, name: &RepositoryName, access: &Access) -> Result<Account, Problem> {
        let Found { credentials, source, notes } =
            credentials::find(name, access.login.as_ref(), self.surroundings()).await?;
        let who = match credentials {
            Credentials::Anonymous => Who::Anonymous,
            Credentials::Basic { username, .. } => Who::User(username),
            Credentials::Identity(_) => Who::Token,
        };
        Ok(Account { who, source, notes })
    }

    /// Shows credentials to a registry. `false` if it did not ask for any, so that
    /// nothing is known of them.
    ///
    /// # Errors
    /// It does not accept them, or cannot be reached.
    pub async fn verify(
        &self,
        name: &RepositoryName,
        access: &Access,
        username: &str,
        password: &Password,
    ) -> Result<bool, Problem> {
        let credentials = Credentials::Basic { username: username.to_owned(), password: password.clone() };
        let source = Some("what was typed".to_owned());
        let found = Found { credentials, source, notes: Vec::new() };
        let connection = Connection::with(name.host(), access, found, self.surroundings()).await?;
        let response = connection.send(&Call::new(Method::GET, connection.url("")?, Vec::new())).await?;
        if !response.status().is_success() {
            return Err(refused(name.host(), "let anybody in", response).await);
        }
        Ok(connection.was_challenged())
    }
}

impl Registry {
    /// Whether the registry lets one read here; what does not exist can be read.
    ///
    /// # Errors
    /// It cannot be reached, or refuses.
    pub async fn check_pull(&self) -> Result<(), Problem> {
        self.clone().to_read().resolve(crate::oci::LATEST).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;
    use crate::store::Surroundings;
    use crate::store::fixture::DockerRegistry;

    #[tokio::test]
    async fn credentials_are_shown_to_the_registry_before_they_are_kept() {
        let home = tempfile::tempdir().unwrap();
        // `s3cret`, as `htpasswd -B` writes it.
        let users = home.path().join("users");
        std::fs::write(&users, "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n")
            .unwrap();
        let settings = format!("auth: {{htpasswd: {{realm: x, path: {}}}}}", users.display());
        let Some(closed) = DockerRegistry::start("verify", "", &settings) else { return };
        let open = DockerRegistry::start("verify", "", "").unwrap();
        let environment = [("HOME", home.path().to_str().unwrap())].into_iter().collect();
        let surroundings = Surroundings { root: home.path().to_owned(), environment };
        let network = Network::new(surroundings);
        let verify = async |server: &DockerRegistry, password: &str| {
            let name = format!("{}/x", server.address).parse().unwrap();
            network.verify(&name, &Access::default(), "user", &Password::new(password)).await
        };
        let wrong = verify(&closed, "wrong").await.unwrap_err();
        assert_eq!(wrong.code, Code::Unauthorized);
        assert!(wrong.notes.iter().any(|note| note == "asked as `user`, from what was typed"), "{wrong:?}");
        assert_eq!(verify(&open, "any").await, Ok(false));
        assert_eq!(verify(&closed, "s3cret").await, Ok(true));
    }
}
