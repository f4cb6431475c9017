//! Where keys are found.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Secret, Sign};
use crate::diagnostic::{Code, Problem};
use crate::facts::Environment;
use crate::seal::{InvalidKey, Signer};
use crate::store::{Password, find_secret};

/// The keys of a run, each found and opened once.
pub struct Keyring {
    root: PathBuf,
    environment: Environment,
    opened: Mutex<Vec<(Sign, Arc<Signer>)>>,
}

impl Keyring {
    /// Keys as seen from a project's directory, and the environment, `dotenv` files
    /// included.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, environment: Environment) -> Self {
        Self { root: root.into(), environment, opened: Mutex::default() }
    }

    /// The private key that a declaration names.
    ///
    /// # Errors
    /// [`Code::SigningKey`] at the declaration: the key cannot be found or read, is of a
    /// kind that is not used for images, or its password is wrong. Neither is in a message.
    pub async fn signer(&self, sign: &Sign) -> Result<Arc<Signer>, Problem> {
        let is_it = |known: &Sign| {
            (&known.key.value, &known.password.value) == (&sign.key.value, &sign.password.value)
        };
        let known = || {
            let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.iter().find(|(known, _)| is_it(known)).map(|(_, signer)| Arc::clone(signer))
        };
        if let Some(signer) = known() {
            return Ok(signer);
        }
        let text = find_secret("the signing key", &sign.key, &self.root, &self.environment).await;
        let text = text.map_err(|problem| Problem { code: Code::SigningKey, ..problem })?;
        let password =
            if Signer::is_encrypted(text.reveal()) { self.password(sign).await? } else { Password::new("") };
        let had_password = !password.reveal().is_empty();
        // Deriving a key of a password takes a while.
        let read = move || Signer::read(text.reveal(), password.reveal().as_bytes());
        let signer = tokio::task::spawn_blocking(read).await.unwrap_or(Err(InvalidKey::Damaged));
        let signer = Arc::new(signer.map_err(|why| refused(sign, &why, had_password))?);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push((sign.clone(), Arc::clone(&signer)));
        Ok(signer)
    }

    /// The password of a key; one whose variable is not set may be empty.
    async fn password(&self, sign: &Sign) -> Result<Password, Problem> {
        if let Secret::Env(name) = &sign.password.value {
            return Ok(Password::new(self.environment.text(name).unwrap_or_default()));
        }
        let what = "the password of the signing key";
        let password = find_secret(what, &sign.password, &self.root, &self.environment).await;
        password.map_err(|problem| Problem { code: Code::SigningKey, ..problem })
    }
}

/// A key that cannot be used.
fn refused(sign: &Sign, why: &InvalidKey, had_password: bool) -> Problem {
    let problem = Problem::new(Code::SigningKey, "the signing key cannot be used");
    let why_not = match why {
        InvalidKey::Password if !had_password => "it is encrypted, and there is no password".to_owned(),
        why => why.to_string(),
    };
    let problem = problem.label(sign.key.span, why_not);
    match (why, &sign.password.value) {
        (InvalidKey::Password, Secret::Env(name)) if !had_password => problem
            .help(format!("set `{name}` to its password, or say where it is found: `password=\"file:…\"`")),
        (InvalidKey::Password, Secret::Env(name)) => problem.help(format!("`{name}` is what was tried")),
        (InvalidKey::Password, _) => problem.label(sign.password.span, "this is what was tried"),
        _ => problem.help(
            "`cosign generate-key-pair` makes one, and so does \
             `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
        ),
    }
}
